import { setTimeout as sleep } from 'node:timers/promises';
import type { V1Namespace } from '@kubernetes/client-node';
import type { Labels } from '../contract/json.ts';
import type { Logger } from '../observability/logger.ts';
import { type Kubernetes, problemOf } from './client.ts';
import { keepWatching } from './watch.ts';

export interface NamespaceLabelsSource {
  /** The labels, from memory where they are there; else asked for, and undefined where they cannot be had. Never rejects. */
  labels(namespace: string): Labels | undefined | Promise<Labels | undefined>;
  close(): void;
}

const NONE: Labels = {};
/** How long a review waits for them: API servers give it 3 s (the chart's timeoutSeconds), and most can be decided without. */
const PATIENCE_MS = 2_000;

/** The labels of all namespaces, watched. One that is too new to be known is asked for. */
export function openNamespaceLabels(kubernetes: Kubernetes, log: Logger): NamespaceLabelsSource {
  const known = new Map<string, Labels>();
  const asking = new Map<string, Promise<Labels | undefined>>();

  const watched = keepWatching<V1Namespace>(
    kubernetes,
    {
      what: 'the namespaces',
      path: '/api/v1/namespaces',
      list: () => kubernetes.core.listNamespace(),
      onObject(namespace) {
        known.set(namespace.metadata?.name ?? '', namespace.metadata?.labels ?? NONE);
        forgetTheRest(namespace);
      },
      onGone: (name) => void known.delete(name),
    },
    log,
  );

  const ask = async (name: string): Promise<Labels | undefined> => {
    try {
      const { metadata } = await kubernetes.core.readNamespace({ name });
      return metadata?.labels ?? NONE;
    } catch (error) {
      log.warn(`the labels of namespace ${name} cannot be had: ${problemOf(error)}`);
      return undefined;
    } finally {
      asking.delete(name);
    }
  };

  return {
    labels(name) {
      const labels = known.get(name);
      if (labels !== undefined || name === '') return labels;
      const asked = asking.get(name) ?? ask(name);
      asking.set(name, asked);
      return Promise.race([asked, sleep(PATIENCE_MS, undefined, { ref: false })]);
    },
    close: () => watched.close(),
  };
}

/** The informer keeps each object for its version. The rest, managed fields above all, is most of the memory. */
function forgetTheRest(namespace: V1Namespace): void {
  delete namespace.spec;
  delete namespace.status;
  if (!namespace.metadata) return;
  delete namespace.metadata.managedFields;
  delete namespace.metadata.annotations;
}
