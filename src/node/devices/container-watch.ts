import { findHierarchies } from '../../linux/device-cgroup/index.ts';
import type { Logger } from '../../observability/logger.ts';
import { StartWatcher } from '../containers/start-watcher.ts';
import { Debounce } from '../reconcile/debounce.ts';
import { Retry } from '../reconcile/retry.ts';

/** ms after the last start or end of a container at which all containers are read again. */
const REFRESH_AFTER = [300, 3000];
/** ms. While a runtime is still at work on a container no event says when that ends: it is polled, ever more rarely. */
const RETRY = { first: 10, last: 30_000 };

const NO_HIERARCHY =
  'no cgroup hierarchy with the devices of containers is to be seen, so that no container can be given access to any: give the pod `hostPID: true` and `privileged: true`';

export interface ContainerEvents {
  /** Some container has started, or ended. */
  readonly onChange: () => void;
  /** The mount table of a starting process has changed. */
  readonly onMounts: (pid: number) => void;
}

/** Says when to read the containers that mount device classes. Costs nothing where there are no classes, nor while nothing starts. */
export class ContainerWatch {
  readonly #log: Logger;
  readonly #events: ContainerEvents;
  #starts: StartWatcher[] = [];
  readonly #refresh: Debounce;
  readonly #retry: Retry;
  #problem: string | undefined;

  constructor(log: Logger, events: ContainerEvents) {
    this.#log = log;
    this.#events = events;
    this.#retry = new Retry(events.onChange, RETRY);
    this.#refresh = new Debounce(REFRESH_AFTER, events.onChange);
  }

  /** Why containers get nothing, or get it late. */
  get problem(): string | undefined {
    return this.#problem ?? this.#starts.find(({ problem }) => problem !== undefined)?.problem;
  }

  /** May be called at any time. @throws Error where the system lacks what watching needs */
  setActive(isActive: boolean): void {
    if (!isActive) this.close();
    if (!isActive || this.#starts.length > 0) return;
    const { v1, v2 } = findHierarchies();
    const roots = [v1, v2].flatMap((hierarchy) => hierarchy?.directory ?? []);
    if (roots.length === 0) {
      if (this.#problem === undefined) this.#log.error(NO_HIERARCHY);
      this.#problem = NO_HIERARCHY;
      return;
    }
    this.#problem = undefined;
    const onChange = (): void => this.#refresh.ask();
    const events = { onStart: onChange, onMounts: this.#events.onMounts, onEnd: onChange };
    this.#starts = roots.map((root) => new StartWatcher(root, events, this.#log));
  }

  /** Whether a runtime is still at work on some container that mounts a class. */
  setStarting(isStarting: boolean): void {
    this.#retry.set(isStarting);
  }

  close(): void {
    this.#retry.set(false);
    this.#problem = undefined;
    this.#refresh.clear();
    for (const starts of this.#starts) starts.close();
    this.#starts = [];
  }
}
