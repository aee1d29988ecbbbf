import { statSync } from 'node:fs';

/** Whether there is such a file. @throws Node's error where that cannot be told: `existsSync` takes it for no */
export const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;
