import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesListObject, KubernetesObject, V1Status } from '@kubernetes/client-node';
import type { Logger } from '../observability/logger.ts';
import type { Kubernetes } from './client.ts';
import { ApiError, problemOf, statusOf } from './errors.ts';
import { openWatch, type WatchEvent } from './rest.ts';

export interface WatchOptions<T extends KubernetesObject> {
  /** For the log: "the namespaces". */
  readonly what: string;
  /** Of the list, such as `/api/v1/namespaces`. */
  readonly path: string;
  /** One object alone, by its name: what RBAC can then be limited to. */
  readonly name?: string | undefined;
  /** ms. After so long without an event, a watch is opened anew. */
  readonly silence?: number;
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
/** Where an API server ends watches at once, they are not opened again at once. */
const REOPEN_MS = 500;
/** Its connection may be dead: API servers send a bookmark every minute (apiserver pkg/storage/cacher, bookmarkFrequency). */
const SILENCE_MS = 75_000;
/** apimachinery pkg/api/errors, ResourceExpired: that version is too old to go on from. */
const GONE = 410;

/**
 * Keeps an eye on objects for as long as the program runs: lists and watches, resumes where a connection ends, and after any error
 * (the API server away, a resource version that has expired) lists anew, with back-off. Never gives up and never throws.
 */
export function keepWatching<T extends KubernetesObject>(
  kubernetes: Kubernetes,
  options: WatchOptions<T>,
  log: Logger,
): { close(): void } {
  const closing = new AbortController();
  void watchForEver(new Informer(kubernetes, options, closing.signal), options.what, closing.signal, log);
  return { close: () => closing.abort() };
}

async function watchForEver<T extends KubernetesObject>(
  informer: Informer<T>,
  what: string,
  closing: AbortSignal,
  log: Logger,
): Promise<void> {
  let failures = 0;
  while (!closing.aborted) {
    let watchingSince = Number.POSITIVE_INFINITY;
    try {
      await informer.listAndWatch(() => {
        if (watchingSince !== Number.POSITIVE_INFINITY) return;
        watchingSince = performance.now();
        if (failures > 0) log.info({ failures }, `watching ${what} again`);
      });
    } catch (error) {
      if (closing.aborted) return;
      // Only a watch that has lasted makes up for the failures before it: after a list that works it may fail each time.
      failures = performance.now() - watchingSince > LAST_RETRY_MS ? 1 : failures + 1;
      if (failures === 1) log.warn(`lost sight of ${what}, trying again: ${problemOf(error)}`);
      const limit = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS);
      // Spread: all replicas lost the same API server at the same time.
      await sleep(limit * (0.5 + Math.random() / 2), undefined, { ref: false });
    }
  }
}

/** What is known of the objects, and how it is found out. Remembers no more than their names. */
class Informer<T extends KubernetesObject> {
  readonly #kubernetes: Kubernetes;
  readonly #options: WatchOptions<T>;
  readonly #closing: AbortSignal;
  readonly #known = new Set<string>();

  constructor(kubernetes: Kubernetes, options: WatchOptions<T>, closing: AbortSignal) {
    this.#kubernetes = kubernetes;
    this.#options = options;
    this.#closing = closing;
  }

  /**
   * Lists, and watches from there on: for ever, or until something fails.
   * @param onWatching a watch has been opened
   */
  async listAndWatch(onWatching: () => void): Promise<never> {
    for (;;) {
      let version: string | undefined = await this.#list();
      while (version !== undefined) {
        const opened = performance.now();
        version = await this.#watch(version, onWatching);
        if (performance.now() - opened < REOPEN_MS) await sleep(REOPEN_MS, undefined, { ref: false });
      }
    }
  }

  /** @returns the resource version to watch from */
  async #list(): Promise<string> {
    const { path, name, onListed } = this.#options;
    const query = selectorOf(name);
    const { items, metadata } = await this.#kubernetes.ask<KubernetesListObject<T>>(path, { query });
    this.#closing.throwIfAborted();
    const names = new Set(items.map(nameOf));
    for (const known of this.#known) if (!names.has(known)) this.#lose(known);
    for (const object of items) this.#see(object);
    onListed?.();
    return metadata?.resourceVersion ?? '';
  }

  /**
   * Until the watch ends by itself, or is silent.
   * @returns the version to go on from; undefined where that is too old
   */
  async #watch(from: string, onWatching: () => void): Promise<string | undefined> {
    const { path, name, silence = SILENCE_MS } = this.#options;
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(), silence).unref();
    const signal = AbortSignal.any([this.#closing, silent.signal]);
    const query = { ...selectorOf(name), resourceVersion: from, allowWatchBookmarks: 'true' };
    let version = from;
    try {
      const events = await openWatch<T | V1Status>(this.#kubernetes.config, path, { query, signal });
      onWatching();
      for await (const event of events) {
        timer.refresh();
        version = this.#take(event);
      }
      return version;
    } catch (error) {
      if (statusOf(error) === GONE) return undefined;
      if (silent.signal.aborted) return version;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns the version that the event leads to */
  #take({ type, object }: WatchEvent<T | V1Status>): string {
    if (type === 'ERROR') {
      const { code = 0, message = 'the watch failed' } = object as V1Status;
      throw new ApiError(code, message);
    }
    if (type === 'DELETED') this.#lose(nameOf(object as T));
    else if (type !== 'BOOKMARK') this.#see(object as T);
    return object.metadata?.resourceVersion ?? '';
  }

  #see(object: T): void {
    this.#known.add(nameOf(object));
    this.#options.onObject(object);
  }

  #lose(name: string): void {
    if (this.#known.delete(name)) this.#options.onGone(name);
  }
}

const nameOf = ({ metadata }: KubernetesObject): string => metadata?.name ?? '';

const selectorOf = (name: string | undefined): Record<string, string> =>
  name === undefined ? {} : { fieldSelector: `metadata.name=${name}` };
