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
  const watch = new FilesWatch(paths, parse, listener, fallback);
  return { current: () => watch.current, close: () => watch.close() };
}

class FilesWatch<T> {
  readonly #paths: readonly string[];
  readonly #parse: (texts: readonly string[]) => T;
  readonly #listener: FilesListener<T>;
  #current: T;
  #unwatch = (): void => {};
  #settle: NodeJS.Timeout | undefined;
  #lookWithoutWatch: NodeJS.Timeout | undefined;
  #firstEvent = 0;
  /** The last texts read, good or bad; undefined where there were none. */
  #texts: readonly string[] | undefined;
  /** What the listener has been told last, of reading and of watching them. */
  #unreadable: string | undefined;
  #unwatched: string | undefined;

  constructor(
    paths: readonly string[],
    parse: (texts: readonly string[]) => T,
    listener: FilesListener<T>,
    fallback: T | undefined,
  ) {
    this.#paths = paths;
    this.#parse = parse;
    this.#listener = listener;
    if (fallback === undefined) {
      this.#current = this.#loadFirst();
    } else {
      this.#current = fallback;
      this.#look();
    }
  }

  /** The last good value. */
  get current(): T {
    return this.#current;
  }

  close(): void {
    clearTimeout(this.#settle);
    clearTimeout(this.#lookWithoutWatch);
    this.#unwatch();
  }

  /** They are about to change, or have. */
  readonly #changed = (): void => {
    const now = performance.now();
    if (this.#settle === undefined) this.#firstEvent = now;
    clearTimeout(this.#settle);
    const delay = Math.max(0, Math.min(SETTLE, this.#firstEvent + SETTLE_MAX - now));
    this.#settle = setTimeout(this.#look, delay).unref();
  };

  readonly #look = (): void => {
    clearTimeout(this.#settle);
    this.#settle = undefined;
    let loaded: { value: T } | undefined;
    try {
      loaded = this.#load();
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (!loaded) return;
    this.#current = loaded.value;
    this.#listener.onChange?.(loaded.value);
  };

  #failed(error: unknown): void {
    if (error instanceof FileError) {
      this.#texts = undefined;
      if (error.message === this.#unreadable) return;
      this.#unreadable = error.message;
    }
    this.#listener.onError?.(error);
  }

  #loadFirst(): T {
    try {
      return (this.#load() as { value: T }).value;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @returns undefined: nothing new. @throws FileError, or what `parse` throws */
  #load(): { value: T } | undefined {
    // Before they are read, so that no change falls in between.
    const problem = this.#watchAgain();
    const texts = this.#paths.map(readRegularFile);
    this.#unreadable = undefined;
    if (problem !== undefined && problem !== this.#unwatched) {
      const instead = `looked at every ${LOOK_WITHOUT_WATCH / 1000} s instead`;
      this.#listener.onUnwatched?.(`${this.#paths.join(', ')} ${problem} (${instead})`);
    }
    this.#unwatched = problem;
    if (isDeepStrictEqual(texts, this.#texts)) return undefined;
    this.#texts = texts;
    return { value: this.#parse(texts) };
  }

  /**
   * Makes all watches anew: a directory that was replaced has the same name, and sometimes even the same inode number.
   * @returns why they cannot be watched
   */
  #watchAgain(): string | undefined {
    const old = this.#unwatch;
    clearTimeout(this.#lookWithoutWatch);
    try {
      this.#unwatch = watchPaths(this.#paths, this.#changed);
      return undefined;
    } catch (error) {
      this.#unwatch = () => {};
      this.#lookWithoutWatch = setTimeout(this.#look, LOOK_WITHOUT_WATCH).unref();
      return fileProblem(error, 'watched');
    } finally {
      old();
    }
  }
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
