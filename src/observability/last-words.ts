/** Write what logs still hold back. */
const flushes: (() => void)[] = [];

/** @param flush writes, without waiting for another turn, what is still held back; never throws */
export const flushBeforeLastWords = (flush: () => void): void => void flushes.push(flush);

/** To be called before a program says on stderr why it ends: its log comes first, and the cause is the last line. */
export function flushLogs(): void {
  for (const flush of flushes) flush();
}
