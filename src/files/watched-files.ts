import { readFileSync, statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { FileError, fileProblem } from './file-error.ts';
import { watchPaths } from './watch-paths.ts';

/** What files hold, while they may change. */
export interface WatchedFiles<T> {
  /** The last good value. */
  current(): T;
  /** No callback comes after it. */
  close(): void;
}

export interface FilesListener<T> {
  /** The files have new texts, and they are good: `current()` from now on. */
  onChange?(value: T): void;
  /** They are broken (then it is what `parse` threw) or cannot be read (a FileError); the last good value stays. Once for each fault. */
  onError?(error: unknown): void;
  /** They cannot be watched, and are looked at now and then instead, until they can. */
  onUnwatched?(problem: string): void;
}

/** An editor, or the kubelet, changes files in several steps; this long after the last of them they are read. In milliseconds. */
const SETTLE = 100;
/** And not later than this after the first, however busy the directory. */
const SETTLE_MAX = 500;
/** Where they cannot be watched. Elsewhere there is no timer: a node where nothing happens is to sleep. In milliseconds. */
const LOOK_WITHOUT_WATCH = 30_000;
/** More than any file that is watched has: a ConfigMap or a Secret holds 1 MiB. */
const MAX_BYTES = 4 * 2 ** 20;

/**
 * Reads files, all of them in one go, and again whenever they change: written in place, renamed over, gone and back again, or by the
 * swap of the link `..data` by which the kubelet updates volumes (pkg/volume/util/atomic_writer.go). Does not keep the process alive by
 * itself.
 * @param fallback the value until there is a good one: then the files may be broken at first, which the listener is told before this returns
 * @throws FileError, or what `parse` throws, if the first value cannot be read and there is no fallback
 */
export function watchFiles<T>(
  paths: readonly string[],
  parse: (texts: readonly string[]) => T,
  listener: FilesListener<T> = {},
  fallback?: T,
): WatchedFiles<T> {
  let unwatch = () => {};
  let timer: NodeJS.Timeout | undefined;
  let withoutWatch: NodeJS.Timeout | undefined;
  let firstEvent = 0;
  /** The last texts read, good or bad; undefined where there were none. */
  let texts: readonly string[] | undefined;
  let unreadable: string | undefined;
  let unwatched: string | undefined;

  const schedule = () => {
    const now = performance.now();
    if (timer === undefined) firstEvent = now;
    clearTimeout(timer);
    timer = setTimeout(look, Math.max(0, Math.min(SETTLE, firstEvent + SETTLE_MAX - now)));
    timer.unref();
  };

  // All anew each time: a directory that was replaced has the same name, and sometimes even the same inode number.
  const rearm = (): string | undefined => {
    const old = unwatch;
    clearTimeout(withoutWatch);
    try {
      unwatch = watchPaths(paths, schedule);
      return undefined;
    } catch (error) {
      unwatch = () => {};
      withoutWatch = setTimeout(look, LOOK_WITHOUT_WATCH).unref();
      return fileProblem(error, 'watched');
    } finally {
      old();
    }
  };

  /** undefined: nothing new. */
  const load = (): { value: T } | undefined => {
    // Before they are read, so that no change falls in between.
    const problem = rearm();
    const found = paths.map(readRegularFile);
    unreadable = undefined;
    if (problem !== undefined && problem !== unwatched) {
      listener.onUnwatched?.(`${paths.join(', ')} ${problem} (looked at every ${LOOK_WITHOUT_WATCH / 1000} s instead)`);
    }
    unwatched = problem;
    if (isDeepStrictEqual(found, texts)) return undefined;
    texts = found;
    return { value: parse(found) };
  };

  const look = () => {
    clearTimeout(timer);
    timer = undefined;
    let loaded: { value: T } | undefined;
    try {
      loaded = load();
    } catch (error) {
      if (error instanceof FileError) {
        texts = undefined;
        if (error.message === unreadable) return;
        unreadable = error.message;
      }
      listener.onError?.(error);
      return;
    }
    if (!loaded) return;
    current = loaded.value;
    listener.onChange?.(current);
  };

  const close = () => {
    clearTimeout(timer);
    clearTimeout(withoutWatch);
    unwatch();
  };

  let current: T;
  if (fallback !== undefined) {
    current = fallback;
    look();
  } else {
    try {
      current = (load() as { value: T }).value;
    } catch (error) {
      close();
      throw error;
    }
  }
  return { current: () => current, close };
}

/** A pipe or a terminal would make a running program wait for ever, and directories and disks are not meant. */
function readRegularFile(path: string): string {
  try {
    const status = statSync(path);
    if (!status.isFile()) throw new FileError(path, 'is not a regular file');
    if (status.size > MAX_BYTES) throw new FileError(path, `has ${status.size} bytes; ${MAX_BYTES} are the most`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw error instanceof FileError ? error : new FileError(path, fileProblem(error));
  }
}
