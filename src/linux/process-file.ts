import { readFileSync } from 'node:fs';
import { isUnreadableProcess } from './errors.ts';

/**
 * A file of a process below /proc; empty where the process has ended.
 * @throws Error of the system where it cannot be read for another reason
 */
export function readProcessFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch (error) {
    if (!isUnreadableProcess(error)) throw error;
    return '';
  }
}
