import { closeSync, type FSWatcher, openSync, readdirSync, readFileSync, watch } from 'node:fs';
import { basename } from 'node:path';
import { namespaceOf, nodeNamespaces } from '../../linux/namespaces.ts';
import { watchReadiness } from '../../linux/readiness.ts';
import { Timers } from '../reconcile/timers.ts';

/** ms after its cgroup has been made at which a container's processes are looked for: the runtime takes its time. */
const LOOKS = [2, 5, 10, 20, 40, 80, 150, 300, 600, 1200, 2500, 5000];
/** ms for which a starting process is followed; by then its mounts are made. */
const FOLLOW = 20_000;
const MAX_FOLLOWED = 512;

/**
 * Sees containers start: a new cgroup is made for each, then its first process makes its mounts. Whoever starts while the node is
 * looked at may have been too early for that look.
 */
export class StartWatcher {
  readonly #onStart: () => void;
  readonly #onMounts: (pid: number) => void;
  readonly #onEnd: () => void;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #followed = new Map<number, () => void>();
  readonly #timers = new Timers();

  /**
   * @param onStart a cgroup has been made
   * @param onMounts the mount table of a starting process has changed
   * @param onEnd a cgroup has been removed
   */
  constructor(root: string, onStart: () => void, onMounts: (pid: number) => void, onEnd: () => void = () => {}) {
    this.#onStart = onStart;
    this.#onMounts = onMounts;
    this.#onEnd = onEnd;
    this.#watchTree(root);
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    for (const end of [...this.#followed.values()]) end();
    this.#timers.clear();
  }

  #watchTree(path: string): void {
    if (this.#watchers.has(path)) return;
    try {
      const watcher = watch(path, { persistent: false }, (event, name) => {
        if (event !== 'rename' || name === null) return;
        if (name === basename(path)) this.#forget(path);
        else this.#changed(`${path}/${name}`);
      });
      watcher.on('error', () => this.#forget(path));
      this.#watchers.set(path, watcher);
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (entry.isDirectory()) this.#watchTree(`${path}/${entry.name}`);
      }
    } catch {
      this.#forget(path);
    }
  }

  /** A directory has come, or gone. */
  #changed(path: string): void {
    try {
      readdirSync(path);
    } catch {
      for (const known of [...this.#watchers.keys()]) {
        if (known === path || known.startsWith(`${path}/`)) this.#forget(known);
      }
      this.#onEnd();
      return;
    }
    this.#watchTree(path);
    this.#onStart();
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
    // An open mountinfo shows the namespace in which the process was then: too early as long as it is still the node's.
    const namespace = namespaceOf(pid);
    if (!namespace || nodeNamespaces().has(namespace)) return;
    let table: number;
    try {
      table = openSync(`/proc/${pid}/mountinfo`, 'r');
    } catch {
      return;
    }
    let unwatch: () => void;
    try {
      unwatch = watchReadiness(table, 'changed', () => this.#onMounts(pid));
    } catch {
      closeSync(table);
      return;
    }
    this.#followed.set(pid, () => {
      if (!this.#followed.delete(pid)) return;
      unwatch();
      closeSync(table);
    });
    this.#timers.after(FOLLOW, () => this.#followed.get(pid)?.());
    this.#onMounts(pid);
  }
}
