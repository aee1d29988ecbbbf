import { closeSync, type FSWatcher, openSync, readdirSync, readFileSync, watch } from 'node:fs';
import { basename } from 'node:path';
import { errorCode, isErrno } from '../../linux/errors.ts';
import { namespaceOf, nodeNamespaces } from '../../linux/namespaces.ts';
import { openPidfd } from '../../linux/pidfd.ts';
import { watchReadiness } from '../../linux/readiness.ts';
import type { Logger } from '../../observability/logger.ts';
import { Timers } from '../reconcile/timers.ts';

/** ms after its cgroup has been made at which a container's processes are searched for: the runtime needs some time. */
const LOOKS = [2, 5, 10, 20, 40, 80, 150, 300, 600, 1200, 2500, 5000];
/** ms for which a starting process is followed; by then its mounts are made. */
const FOLLOW = 20_000;
const MAX_FOLLOWED = 512;
/** ms between two tries to watch cgroups where that failed. Meanwhile, containers are found by polling. */
const POLL = 5000;

export interface StartEvents {
  /** A cgroup has been made, or may have been where none can be seen. */
  readonly onStart: () => void;
  /** The mount table of a starting process has changed. */
  readonly onMounts: (pid: number) => void;
  /** A cgroup has been removed. */
  readonly onEnd?: () => void;
}

/**
 * Sees containers start: a new cgroup is made for each, then its first process makes its mounts. A container that starts during a
 * resync may be missed by that one. Where inotify has no more watches to give, a timer takes its place.
 */
export class StartWatcher {
  readonly #events: StartEvents;
  readonly #log: Logger;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #followed = new Map<number, () => void>();
  readonly #timers = new Timers();
  readonly #root: string;
  #problem: string | undefined;
  /** The same, as the log has been told. */
  #told: string | undefined;
  #isPolling = false;

  /** @param root of a cgroup hierarchy */
  constructor(root: string, events: StartEvents, log: Logger) {
    this.#root = root;
    this.#events = events;
    this.#log = log;
    this.#watchTree(root);
    this.#pollIfBlind();
  }

  /** Why containers are seen later than they start. */
  get problem(): string | undefined {
    return this.#problem;
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    for (const end of [...this.#followed.values()]) end();
    this.#timers.clear();
  }

  #watchTree(path: string): void {
    try {
      if (!this.#watchers.has(path)) this.#watch(path);
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (entry.isDirectory()) this.#watchTree(`${path}/${entry.name}`);
      }
    } catch (error) {
      this.#forget(path);
      if (errorCode(error) !== 'ENOENT') this.#problem = describe(path, error as Error);
    }
  }

  #watch(path: string): void {
    const watcher = watch(path, { persistent: false }, (event, name) => {
      if (event !== 'rename' || name === null) return;
      if (name === basename(path)) this.#forget(path);
      else this.#changed(`${path}/${name}`);
    });
    watcher.on('error', (error) => {
      this.#forget(path);
      this.#lookLater(path, error);
    });
    this.#watchers.set(path, watcher);
  }

  #lookLater(path: string, error: Error): void {
    this.#problem = describe(path, error);
    this.#pollIfBlind();
  }

  #pollIfBlind(): void {
    if (this.#problem !== undefined && this.#told === undefined) this.#log.error(this.#problem);
    if (this.#problem === undefined && this.#told !== undefined)
      this.#log.info('containers are seen as they start again');
    this.#told = this.#problem;
    if (this.#problem === undefined || this.#isPolling) return;
    this.#isPolling = true;
    this.#timers.after(POLL, () => {
      this.#isPolling = false;
      this.#problem = undefined;
      this.#watchTree(this.#root);
      this.#events.onStart();
      this.#pollIfBlind();
    });
  }

  /** A directory has come, or gone. */
  #changed(path: string): void {
    try {
      readdirSync(path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ENODEV')) {
        this.#lookLater(path, error as Error);
        return;
      }
      for (const known of [...this.#watchers.keys()]) {
        if (known === path || known.startsWith(`${path}/`)) this.#forget(known);
      }
      this.#events.onEnd?.();
      return;
    }
    this.#watchTree(path);
    this.#pollIfBlind();
    this.#events.onStart();
    for (const delay of LOOKS) this.#timers.after(delay, () => this.#followProcesses(path));
  }

  #forget(path: string): void {
    this.#watchers.get(path)?.close();
    this.#watchers.delete(path);
  }

  #followProcesses(cgroup: string): void {
    let pids: number[];
    try {
      pids = readFileSync(`${cgroup}/cgroup.procs`, 'latin1').split('\n').filter(Boolean).map(Number);
    } catch {
      return;
    }
    for (const pid of pids) this.#follow(pid);
  }

  #follow(pid: number): void {
    if (this.#followed.has(pid) || this.#followed.size >= MAX_FOLLOWED) return;
    let end: () => void;
    try {
      // An open mountinfo shows the namespace in which the process was then: too early as long as it is still the node's.
      const namespace = namespaceOf(pid);
      if (!namespace || nodeNamespaces().has(namespace)) return;
      end = this.#followTable(pid);
    } catch {
      // It has ended since; or there is no descriptor left, and the looks after a start find what it mounts.
      return;
    }
    this.#followed.set(pid, () => {
      if (this.#followed.delete(pid)) end();
    });
    this.#timers.after(FOLLOW, () => this.#followed.get(pid)?.());
    this.#events.onMounts(pid);
  }

  /**
   * An open mountinfo keeps the mount namespace, with all its mounts and their block devices: it is closed the moment the process ends.
   * @returns ends it
   * @throws SystemCallError, or Node's own error
   */
  #followTable(pid: number): () => void {
    const undo: (() => void)[] = [];
    const end = (): void => {
      for (const step of undo.splice(0).reverse()) step();
    };
    try {
      const pidfd = openPidfd(pid);
      undo.push(() => closeSync(pidfd));
      const table = openSync(`/proc/${pid}/mountinfo`, 'r');
      undo.push(() => closeSync(table));
      undo.push(watchReadiness(table, 'changed', () => this.#events.onMounts(pid)));
      undo.push(watchReadiness(pidfd, 'readable', () => this.#followed.get(pid)?.()));
      return end;
    } catch (error) {
      end();
      throw error;
    }
  }
}

const describe = (path: string, { message }: Error): string =>
  `containers that start below ${path} are not seen as they do (${message}): what they need is done within ${POLL / 1000} s instead of at once. Raise fs.inotify.max_user_watches and max_user_instances of the node`;
