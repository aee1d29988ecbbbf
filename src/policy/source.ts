import { type FSWatcher, lstatSync, readFileSync, readlinkSync, statSync, watch } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { PolicyError } from './error.ts';
import { MAX_POLICY_LENGTH, parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

/** A policy that may change while the program runs. */
export interface PolicySource {
  /** The last good one. */
  current(): Policy;
  /** No callback comes after it. */
  close(): void;
}

export interface PolicyListener {
  /** The file has a new text, and it is good: it is in force from now on. */
  onChange?(policy: Policy): void;
  /** The file is broken, gone or can no longer be watched: the last good policy stays in force. */
  onError?(error: PolicyError): void;
}

/** An editor, or the kubelet, changes a file in several steps; this long after the last of them it is read. */
const SETTLE_MS = 50;
/** And not later than this after the first, however busy the directory. */
const SETTLE_MAX_MS = 500;

/**
 * The policy in a file that is watched: with inotify, so that it costs nothing while nothing happens. Sees a file written in place,
 * renamed over, gone and back again, and the swap of the `..data` link by which the kubelet updates a ConfigMap volume. Throws a
 * PolicyError where the file cannot be read, watched or understood at first. Does not keep the process alive by itself.
 */
export function openPolicyFile(path: string, listener: PolicyListener = {}): PolicySource {
  const file = resolve(path);
  let watchers: readonly FSWatcher[] = [];
  let timer: NodeJS.Timeout | undefined;
  let firstEvent = 0;
  /** The last text read, good or bad; undefined where there was none. */
  let text: string | undefined;

  const schedule = () => {
    const now = performance.now();
    if (timer === undefined) firstEvent = now;
    clearTimeout(timer);
    timer = setTimeout(look, Math.max(0, Math.min(SETTLE_MS, firstEvent + SETTLE_MAX_MS - now)));
    timer.unref();
  };

  // All anew each time: a directory that was replaced has the same name, and sometimes even the same inode number.
  const rearm = () => {
    const old = watchers;
    watchers = watchPlaces(file, schedule);
    for (const watcher of old) watcher.close();
  };

  // Watches before it reads, so that no change falls in between.
  const load = (): Policy | undefined => {
    rearm();
    const found = readRegularFile(file);
    if (found === text) return undefined;
    text = found;
    return parsePolicy(found, { file: path });
  };

  const look = () => {
    timer = undefined;
    let loaded: Policy | undefined;
    try {
      loaded = load();
    } catch (error) {
      const refused = asPolicyError(error, path);
      if (refused.issues.length === 0) text = undefined;
      listener.onError?.(refused);
      return;
    }
    if (loaded === undefined) return;
    policy = loaded;
    listener.onChange?.(loaded);
  };

  const close = () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };

  let policy: Policy;
  try {
    policy = load() as Policy;
  } catch (error) {
    close();
    throw asPolicyError(error, path);
  }
  return { current: () => policy, close };
}

/** The text of a policy file, which may also be a pipe. Throws a PolicyError without issues where it cannot be read. */
export function readPolicyText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw asPolicyError(error, path);
  }
}

/** A pipe or a terminal would make a running program wait for ever, and a directory or a disk is no policy. */
function readRegularFile(path: string): string {
  const status = statSync(path);
  if (!status.isFile()) throw new PolicyError(path, [], 'is not a regular file');
  if (status.size > 4 * MAX_POLICY_LENGTH) throw new PolicyError(path, [], `has ${status.size} bytes: no policy has`);
  return readFileSync(path, 'utf8');
}

/** Also where the fault is ours, for a policy that cannot be read must not take away the one in force: the cause tells. */
function asPolicyError(error: unknown, path: string): PolicyError {
  if (error instanceof PolicyError) return error;
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  const reason = code === undefined ? message : (REASONS[code] ?? code);
  const refused = new PolicyError(path, [], `cannot be ${syscall === 'watch' ? 'watched' : 'read'}: ${reason}`);
  refused.cause = error;
  return refused;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file (ENOENT)',
  EISDIR: 'it is a directory (EISDIR)',
  EACCES: 'permission denied (EACCES)',
  ELOOP: 'its symbolic links lead in a circle (ELOOP)',
  ENOSPC: 'the node has no inotify watches left (ENOSPC); raise fs.inotify.max_user_watches',
  EMFILE: 'the node has no inotify instances or descriptors left (EMFILE); raise fs.inotify.max_user_instances',
};

/** A directory can vanish between the look at it and the watch on it; a new look then finds the way as it is now. */
const WATCH_ATTEMPTS = 5;

function watchPlaces(file: string, onEvent: () => void): readonly FSWatcher[] {
  for (let attempt = 1; ; attempt++) {
    const watchers: FSWatcher[] = [];
    try {
      for (const [directory, names] of placesOf(file)) {
        const watcher = watch(directory, { persistent: false }, (_, name) => {
          if (name === null || names.has(name)) onEvent();
        });
        watchers.push(watcher.on('error', onEvent));
      }
      return watchers;
    } catch (error) {
      for (const watcher of watchers) watcher.close();
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === WATCH_ATTEMPTS) throw error;
    }
  }
}

/** As many as the kernel follows (include/linux/namei.h, MAXSYMLINKS). */
const MAX_LINKS = 40;

/**
 * The directories in which something decides which file a path means, with the names that matter in each: every symbolic link on the
 * way, and the file. Where the way ends early, that is the last directory there is. Each directory's own name is among
 * its names, for that is how inotify tells that the directory itself was moved or deleted.
 */
function placesOf(path: string): ReadonlyMap<string, ReadonlySet<string>> {
  const places = new Map<string, Set<string>>();
  const note = (directory: string, name: string) => {
    const names = places.get(directory) ?? new Set([basename(directory)]);
    places.set(directory, names.add(name));
  };
  let directory = '/';
  const ahead = path.split('/').filter((name) => name !== '');
  let links = 0;
  for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === '.' || name === '') continue;
    if (name === '..') {
      directory = dirname(directory);
      continue;
    }
    const here = join(directory, name);
    const status = lstatSync(here, { throwIfNoEntry: false });
    if (status?.isDirectory()) {
      directory = here;
      continue;
    }
    note(directory, name);
    if (!status?.isSymbolicLink() || ++links > MAX_LINKS) break;
    const target = readlinkSync(here);
    if (target.startsWith('/')) directory = '/';
    ahead.unshift(...target.split('/'));
  }
  return places;
}
