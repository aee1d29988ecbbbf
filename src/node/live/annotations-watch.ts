import { closeSync, type FSWatcher, fstatSync, readlinkSync, watch } from 'node:fs';
import { errorCode } from '../../linux/errors.ts';
import type { Logger } from '../../observability/logger.ts';
import { Timers } from '../reconcile/timers.ts';
import { openVolume } from './annotations-file.ts';

/** ms between two looks at the annotations of pods that cannot be watched. */
const POLL = 5000;

interface Watched {
  readonly watcher: FSWatcher;
  /** Device and inode of the directory. */
  readonly identity: string;
  /** What `..data` led to when it was followed last: another directory for each version of the annotations. */
  version: string | undefined;
}

/**
 * Says when the kubelet has written a pod's annotations anew: it renames `..data` in the volume's directory (kubelet AtomicWriter). Where
 * inotify has no more watches to give, a timer takes its place.
 */
export class AnnotationsWatch {
  readonly #kubeletDir: string;
  readonly #onChange: (podUid: string) => void;
  readonly #log: Logger;
  readonly #watched = new Map<string, Watched>();
  /** Pods that could not be watched. */
  readonly #blind = new Set<string>();
  readonly #timers = new Timers();
  #problem: string | undefined;
  #isPolling = false;

  constructor(kubeletDir: string, onChange: (podUid: string) => void, log: Logger) {
    this.#kubeletDir = kubeletDir;
    this.#onChange = onChange;
    this.#log = log;
  }

  /** Why annotations are seen later than they change. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /**
   * Watches the pod's volume as it is now; whoever reads it after that misses nothing. Where there is none yet, or not this one any more,
   * the mount table will change. An event that the kernel had no room for (fs.inotify.max_queued_events, of which libuv does not tell) is
   * made up for by the next call.
   * @returns whether it is another volume than before, or has been written anew
   * @throws SystemCallError, or Node's own error, such as for a lack of descriptors
   */
  follow(podUid: string): boolean {
    const directory = openVolume(this.#kubeletDir, podUid);
    if (directory === undefined) {
      return this.forget(podUid);
    }
    try {
      const { dev, ino } = fstatSync(directory, { bigint: true });
      const identity = `${dev} ${ino}`;
      let watched = this.#watched.get(podUid);
      const isKnown = watched?.identity === identity;
      if (!isKnown) {
        this.#drop(podUid);
        watched = this.#watch(podUid, directory, identity);
        this.#seeProblem();
      }
      const version = versionOf(directory);
      const isNew = !isKnown || watched?.version !== version;
      if (watched) watched.version = version;
      return isNew;
    } finally {
      closeSync(directory);
    }
  }

  /** @returns whether it was watched */
  forget(podUid: string): boolean {
    const was = this.#drop(podUid);
    this.#seeProblem();
    return was;
  }

  close(): void {
    for (const podUid of [...this.#watched.keys()]) this.forget(podUid);
    this.#timers.clear();
  }

  #drop(podUid: string): boolean {
    this.#watched.get(podUid)?.watcher.close();
    this.#blind.delete(podUid);
    return this.#watched.delete(podUid);
  }

  /** None is left, where every pod is watched. */
  #seeProblem(): void {
    if (this.#blind.size === 0) this.#problem = undefined;
  }

  #watch(podUid: string, directory: number, identity: string): Watched | undefined {
    try {
      const watcher = watch(`/proc/self/fd/${directory}`, { persistent: false }, (_, name) => {
        // All else in it is on the way to that.
        if (name === '..data' || !name?.startsWith('..')) this.#onChange(podUid);
      });
      watcher.on('error', (error) => {
        this.#drop(podUid);
        this.#blind.add(podUid);
        this.#pollMeanwhile(error);
      });
      const watched: Watched = { watcher, identity, version: undefined };
      this.#watched.set(podUid, watched);
      return watched;
    } catch (error) {
      if (!['ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM'].includes(errorCode(error) ?? '')) throw error;
      this.#blind.add(podUid);
      this.#pollMeanwhile(error as Error);
      return undefined;
    }
  }

  #pollMeanwhile({ message }: Error): void {
    if (this.#problem === undefined) {
      this.#problem = `the annotations of live pods are not seen as they change (${message}), but within ${POLL / 1000} s. Raise fs.inotify.max_user_watches and max_user_instances of the node`;
      this.#log.error(this.#problem);
    }
    if (this.#isPolling) return;
    this.#isPolling = true;
    this.#timers.after(POLL, () => {
      this.#isPolling = false;
      for (const podUid of [...this.#blind]) this.#onChange(podUid);
    });
  }
}

/** Undefined while there is none. */
function versionOf(directory: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${directory}/..data`);
  } catch (error) {
    // A directory or a file may be in its place.
    if (['ENOENT', 'EINVAL'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}
