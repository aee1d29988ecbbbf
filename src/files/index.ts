/** Files that are read again when they change, and what to say of those that cannot be used. */
export { FileError, fileProblem } from './file-error.ts';
export { type FilesListener, type WatchedFiles, watchFiles } from './watched-files.ts';
