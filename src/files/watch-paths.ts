import { type FSWatcher, lstatSync, readlinkSync, watch } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** A directory can vanish between the look at it and the watch on it; a new look then finds the way as it is now. */
const ATTEMPTS = 5;

/**
 * Watches everything that decides what the paths mean, with inotify, until the function that it returns is called. What it watches is
 * the way as it was when it was called: after an event, watch anew. Throws what `node:fs` throws.
 */
export function watchPaths(paths: readonly string[], onEvent: () => void): () => void {
  for (let attempt = 1; ; attempt++) {
    const watchers: FSWatcher[] = [];
    const close = () => {
      for (const watcher of watchers) watcher.close();
    };
    try {
      for (const [directory, names] of placesOf(paths)) {
        const watcher = watch(directory, { persistent: false }, (_, name) => {
          if (name === null || names.has(name)) onEvent();
        });
        watchers.push(watcher.on('error', onEvent));
      }
      return close;
    } catch (error) {
      close();
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === ATTEMPTS) throw error;
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
function placesOf(paths: readonly string[]): ReadonlyMap<string, ReadonlySet<string>> {
  const places = new Map<string, Set<string>>();
  for (const path of paths) {
    for (const { directory, name } of stepsOf(resolve(path))) {
      const names = places.get(directory) ?? new Set([basename(directory)]);
      places.set(directory, names.add(name));
    }
  }
  return places;
}

function* stepsOf(path: string): Generator<{ directory: string; name: string }> {
  let directory = '/';
  const ahead = path.split('/');
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
    yield { directory, name };
    if (!status?.isSymbolicLink() || ++links > MAX_LINKS) return;
    const target = readlinkSync(here);
    if (target.startsWith('/')) directory = '/';
    ahead.unshift(...target.split('/'));
  }
}
