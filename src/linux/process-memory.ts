import { readFileSync } from 'node:fs';

/** Bytes that a process has in memory; 0 where it has ended, also where nobody has waited for it yet: a zombie has no such line. */
export function residentMemory(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
