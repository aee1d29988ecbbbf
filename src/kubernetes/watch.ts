import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesListObject, KubernetesObject } from '@kubernetes/client-node';
import type { Logger } from '../observability/logger.ts';
import { type Kubernetes, problemOf } from './client.ts';

export interface WatchOptions<T extends KubernetesObject> {
  /** For the log: "the namespaces". */
  readonly what: string;
  /** Of the list, such as `/api/v1/namespaces`. */
  readonly path: string;
  /** One object alone, by its name: what RBAC can then be limited to. */
  readonly name?: string | undefined;
  list(): Promise<KubernetesListObject<T>>;
  /** New, changed, or seen again after the connection was lost. */
  onObject(object: T): void;
  /** Gone, by its name. */
  onGone(name: string): void;
  /** A whole list has been seen. */
  onListed?(): void;
}

/** Back-off after the n-th failure in a row, in milliseconds. Short at the end, too: one object is listed, not thousands. */
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 5_000;
/**
 * The informer waits longer and longer between watches that end without an event, up to 30 s (client-node's cache.ts). API servers end
 * every watch after some minutes, and what nobody changes has no events: then a change would be seen late.
 */
const LONGEST_PAUSE_MS = 500;

const STOP_AGAIN_MS = 500;

/**
 * Keeps an eye on objects for as long as the program runs: lists and watches, resumes where a connection ends, and after any error
 * (the API server away, a resource version that has expired) lists anew, with back-off. Never gives up and never throws.
 */
export function keepWatching<T extends KubernetesObject>(
  { library, config }: Kubernetes,
  options: WatchOptions<T>,
  log: Logger,
): { close(): void } {
  const known = new Set<string>();
  let failures = 0;
  let closed = false;
  let stop = (): unknown => undefined;

  const see = (object: T): void => {
    known.add(object.metadata?.name ?? '');
    options.onObject(object);
  };
  const lose = (name: string): void => {
    if (known.delete(name)) options.onGone(name);
  };
  const list = async (): Promise<KubernetesListObject<T>> => {
    const found = await options.list();
    const names = new Set(found.items.map(({ metadata }) => metadata?.name ?? ''));
    for (const name of known) if (!names.has(name)) lose(name);
    setImmediate(() => options.onListed?.());
    return found;
  };

  const start = (): void => {
    if (closed) return;
    const fieldSelector = options.name === undefined ? undefined : `metadata.name=${options.name}`;
    const informer = new library.ListWatch<T>(
      options.path,
      new library.Watch(config),
      list,
      false,
      undefined,
      fieldSelector,
      { delayFn: (ms) => sleep(Math.min(ms, LONGEST_PAUSE_MS), undefined, { ref: false }) },
    );
    let ended = false;
    let watchingSince = Number.POSITIVE_INFINITY;
    const fail = (error: unknown): void => {
      if (ended || closed) return;
      ended = true;
      // Only a watch that has lasted makes up for the failures before it: after a list that works it may fail each time.
      failures = performance.now() - watchingSince > LAST_RETRY_MS ? 1 : failures + 1;
      void informer.stop();
      const limit = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS);
      // Spread: all replicas lost the same API server at the same time.
      const pause = limit * (0.5 + Math.random() / 2);
      if (failures === 1) log.warn(`lost sight of ${options.what}, trying again: ${problemOf(error)}`);
      setTimeout(start, pause).unref();
    };
    informer.on('add', see);
    informer.on('update', see);
    informer.on('delete', (object) => lose(object.metadata?.name ?? ''));
    informer.on('error', fail);
    stop = () => informer.stop();
    informer.start().then(() => {
      if (ended) return;
      watchingSince = performance.now();
      if (failures > 0) log.info({ failures }, `watching ${options.what} again`);
    }, fail);
  };
  start();

  return {
    close() {
      closed = true;
      void stop();
      // A watch that is just being opened has nothing to stop yet (client-node's cache.ts), and would keep the process alive.
      setTimeout(() => void stop(), STOP_AGAIN_MS).unref();
    },
  };
}
