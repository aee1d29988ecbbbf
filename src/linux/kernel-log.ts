import { closeSync, constants, openSync, readSync } from 'node:fs';
import { check, libc } from './libc.ts';

const SEEK_END = 2;
/** CONSOLE_EXT_LOG_MAX in kernel/printk/printk.c. */
const RECORD_BYTES = 8192;
/** So that a kernel that talks without end keeps nobody. */
const MAX_RECORDS = 2000;

/** What the kernel has said since a moment. Where this process may not read that (`dmesg_restrict`, no CAP_SYSLOG), nothing. */
export class KernelLog {
  #file: number | undefined;

  /** From now on. */
  constructor() {
    try {
      this.#file = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
      check(libc.lseek(this.#file, 0, SEEK_END), 'lseek', '/dev/kmsg');
    } catch {
      this.close();
    }
  }

  /** The text of each record since, in order. Each has a line of its own, without what is not text. */
  read(): string[] {
    if (this.#file === undefined) return [];
    const lines: string[] = [];
    const buffer = Buffer.alloc(RECORD_BYTES);
    for (let i = 0; i < MAX_RECORDS; i++) {
      try {
        const line = parseRecord(buffer.toString('utf8', 0, readSync(this.#file, buffer)));
        if (line !== undefined) lines.push(line);
      } catch (error) {
        // Others have overwritten what was next: the one after that is read.
        if ((error as NodeJS.ErrnoException).code !== 'EPIPE') break;
      }
    }
    return lines;
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** `6,339,5140900,-;text`, then lines of a dictionary (Documentation/ABI/testing/dev-kmsg). Undefined where a program has written it. */
export function parseRecord(record: string): string | undefined {
  const [, priority, text] = /^(\d+),[^;]*;([^\n]*)/.exec(record) ?? [];
  const isOfKernel = priority !== undefined && Number(priority) >> 3 === 0;
  return isOfKernel ? text : undefined;
}

/** Records that are quoted at most: the last ones say what it came to. */
const LINES_QUOTED = 4;

/** The last of these lines, quoted; empty where there are none. */
export const kernelWords = (lines: readonly string[]): string =>
  lines.length === 0
    ? ''
    : `the kernel said ${lines
        .slice(-LINES_QUOTED)
        .map((line) => `"${line}"`)
        .join(', ')}`;

/** The lines that name a device, by `(sdb1)`, `[sdb1]` or `on sdb1`, each once. */
export function linesAbout(device: string, lines: readonly string[]): string[] {
  const name = device.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = new RegExp(`(^|[^\\w-])${name}([^\\w-]|$)`);
  return [...new Set(lines.filter((line) => pattern.test(line)))];
}
