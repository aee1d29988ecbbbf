import { getSystemErrorMessage } from 'node:util';

/** A file cannot be used; the message names it and says why. */
export class FileError extends Error {
  override readonly name = 'FileError';
  readonly path: string;
  /** The message without the path. */
  readonly problem: string;

  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}

/** What an error of `node:fs` says about its file, in words for all commands: `cannot be read: no such file or directory (ENOENT)`. */
export function fileProblem(error: unknown, verb: 'read' | 'watched' | 'written' = 'read'): string {
  const { code = '', errno, message } = error as NodeJS.ErrnoException;
  const reason = REASONS[`${verb} ${code}`] ?? REASONS[code] ?? (errno === undefined ? message : system(errno, code));
  return `cannot be ${verb}: ${reason}`;
}

const system = (errno: number, code: string): string => `${getSystemErrorMessage(errno)} (${code})`;

const REASONS: Readonly<Record<string, string>> = {
  EISDIR: 'it is a directory (EISDIR)',
  ELOOP: 'its symbolic links lead in a circle (ELOOP)',
  'watched ENOSPC': 'the node has no inotify watches left (ENOSPC); raise fs.inotify.max_user_watches',
  'watched EMFILE':
    'the node has no inotify instances or descriptors left (EMFILE); raise fs.inotify.max_user_instances',
};
