import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';

/** The path of a program; undefined where it is not installed. */
export const findProgram = (name: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => `${directory}/${name}`)
    .find((path) => existsSync(path));
