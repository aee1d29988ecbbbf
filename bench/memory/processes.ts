import { readdirSync, readFileSync } from 'node:fs';

const KERNEL_STACK = 16 * 1024;
const TICKS = 100;

/** In bytes. */
export interface Memory {
  readonly anonymous: number;
  readonly kernel: number;
}

/** What a process has that no file holds; and the kernel for it: its page tables, and a stack for each thread. */
export const memoryOf = (pid: number): Memory => ({
  anonymous: bytes(`/proc/${pid}/smaps_rollup`, 'Anonymous'),
  kernel: bytes(`/proc/${pid}/status`, 'VmPTE') + readdirSync(`/proc/${pid}/task`).length * KERNEL_STACK,
});

/** Seconds of CPU that all its threads have taken. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

function bytes(file: string, name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(file, 'utf8'));
  if (!line) throw new Error(`${file}: no ${name}`);
  return Number(line[1]) * 1024;
}
