import { closeSync, openSync } from 'node:fs';
import { errorCode } from '../errors.ts';
import { type AttachedProgram, attachedProgramIds, openProgram, programInfo } from './bpf.ts';

/** The names of our programs begin so, and nobody else's. */
const PREFIX = 'hotmount';

/** Whether device programs of others are attached to a v2 cgroup itself. @throws Error where it has gone */
export const isRestricted = (directory: string): boolean =>
  withDirectory(directory, programsOn).some(({ name }) => !name.startsWith(PREFIX));

/** The device programs attached to a cgroup itself, in the order in which they are asked. @throws SystemCallError */
export const programsOn = (cgroup: number): AttachedProgram[] =>
  attachedProgramIds(cgroup).flatMap((id) => withProgram(id, programInfo) ?? []);

/** @returns undefined where the program has gone since: it does as soon as it is attached nowhere */
export function withProgram<T>(id: number, use: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openProgram(id);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** Opens a directory for as long as it is used. @throws Error where it has gone */
export function withDirectory<T>(directory: string, use: (fd: number) => T): T {
  const fd = openSync(directory, 'r');
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
