import type { V1Namespace } from '@kubernetes/client-node';
import type { Labels } from '../contract/json.ts';
import { isNamespaceName } from '../contract/object-name.ts';
import type { Logger } from '../observability/logger.ts';
import type { Kubernetes } from './client.ts';
import { problemOf, statusOf } from './errors.ts';
import { keepWatching } from './watch.ts';

export interface NamespaceLabelsSource {
  /** The labels, from memory where they are there; else it waits for them. Undefined if they cannot be read. Never rejects. */
  labels(namespace: string): Labels | undefined | Promise<Labels | undefined>;
  close(): void;
}

const NONE: Labels = {};
/** How long a review waits for them: API servers give it 3 s (the chart's timeoutSeconds), and most can be decided without. */
const PATIENCE_MS = 2_000;
/**
 * What is asked of the API server besides the watch: so many look-ups at once, and then one each so many milliseconds. An API server sends
 * reviews for namespaces that there are, and the watch brings a new one within moments; but whoever reaches the webhook can invent more.
 */
const LOOK_UPS = 20;
const LOOK_UP_AGAIN_MS = 200;
/** How long a namespace that is not there is not asked for again, and how many such are remembered. */
const ABSENT_MS = 5_000;
const MAX_ABSENT = 1_000;
/** Names that are waited for at a time. For one more, the first no longer is. */
const MAX_AWAITED = 100;

/** The labels of all namespaces, watched. One that is too new to be known is waited for, and asked for. */
export function openNamespaceLabels(kubernetes: Kubernetes, log: Logger): NamespaceLabelsSource {
  const known = new Map<string, Labels>();
  const awaited = new Map<string, PromiseWithResolvers<Labels | undefined>>();
  /** Since when, by performance.now(). */
  const absent = new Map<string, number>();
  const mayLookUp = rateLimit(LOOK_UPS, LOOK_UP_AGAIN_MS);

  const watched = keepWatching<V1Namespace>(
    kubernetes,
    {
      what: 'the namespaces',
      path: '/api/v1/namespaces',
      onObject(namespace) {
        const name = namespace.metadata?.name ?? '';
        const labels = namespace.metadata?.labels ?? NONE;
        known.set(name, labels);
        absent.delete(name);
        settle(name, labels);
      },
      onGone: (name) => void known.delete(name),
    },
    log,
  );

  const settle = (name: string, labels: Labels | undefined): void => {
    awaited.get(name)?.resolve(labels);
    awaited.delete(name);
  };

  const lookUp = async (name: string): Promise<void> => {
    try {
      const { metadata } = await kubernetes.ask<V1Namespace>(`/api/v1/namespaces/${name}`);
      settle(name, metadata?.labels ?? NONE);
    } catch (error) {
      log.warn(`the labels of namespace ${name} cannot be read: ${problemOf(error)}`);
      if (statusOf(error) === 404) {
        if (absent.size >= MAX_ABSENT) absent.delete(first(absent));
        absent.set(name, performance.now());
      }
      settle(name, undefined);
    }
  };

  const waitFor = (name: string): Promise<Labels | undefined> => {
    if (awaited.size >= MAX_AWAITED) settle(first(awaited), undefined);
    const waiting = Promise.withResolvers<Labels | undefined>();
    awaited.set(name, waiting);
    setTimeout(() => {
      if (awaited.get(name) === waiting) settle(name, undefined);
    }, PATIENCE_MS).unref();
    if (mayLookUp()) void lookUp(name);
    return waiting.promise;
  };

  const isAbsent = (name: string): boolean => performance.now() - (absent.get(name) ?? -ABSENT_MS) < ABSENT_MS;

  return {
    labels(name) {
      const labels = known.get(name);
      if (labels !== undefined || !isNamespaceName(name) || isAbsent(name)) return labels;
      return awaited.get(name)?.promise ?? waitFor(name);
    },
    close: () => watched.close(),
  };
}

const first = (map: ReadonlyMap<string, unknown>): string => map.keys().next().value ?? '';

/** Says yes to so many at once, and then to one each so many milliseconds. */
function rateLimit(burst: number, againMs: number): () => boolean {
  let left = burst;
  let at = performance.now();
  return () => {
    const now = performance.now();
    left = Math.min(burst, left + (now - at) / againMs);
    at = now;
    if (left < 1) return false;
    left--;
    return true;
  };
}
