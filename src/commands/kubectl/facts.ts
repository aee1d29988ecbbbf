import type { V1ConfigMap, V1CSIDriver, V1CSINode, V1Namespace, V1Pod } from '@kubernetes/client-node';
import { PREFIX, STATUS } from '../../contract/annotations.ts';
import { DRIVER } from '../../contract/volumes.ts';
import { problemOf, statusOf } from '../../kubernetes/errors.ts';
import { digestOf } from '../../policy/digest.ts';
import { POLICY_KEY } from '../../policy/index.ts';
import type { Facts } from './checks/finding.ts';
import type { Connection } from './connection.ts';
import { askDaemons, podsOf } from './daemons.ts';
import { findSystemNamespace, isOfChart } from './system-namespace.ts';

export interface PolicyFound {
  readonly configMap: string;
  readonly digest: string;
  readonly text: string;
}

/** The policy of the installation in a namespace; undefined where it may not be read, or is not there. */
export async function findPolicy({ ask }: Connection, systemNamespace: string): Promise<PolicyFound | undefined> {
  const query = { labelSelector: 'app.kubernetes.io/managed-by=Helm' };
  const found = await orUndefined(
    ask<{ items: V1ConfigMap[] }>(`/api/v1/namespaces/${systemNamespace}/configmaps`, { query }),
  );
  const configMap = found?.items.find(({ metadata, data }) => isOfChart(metadata) && data?.[POLICY_KEY] !== undefined);
  const text = configMap?.data?.[POLICY_KEY];
  if (configMap === undefined || text === undefined) return undefined;
  return { configMap: `${systemNamespace}/${configMap.metadata?.name}`, digest: digestOf(text), text };
}

/** Gathers the facts for a check. @throws Error if hotmount is not found, or the API server does not answer */
export async function gather(connection: Connection, onAnswer: (done: number, all: number) => void): Promise<Facts> {
  const { ask } = connection;
  const systemNamespace = await findSystemNamespace(connection);
  const [webhookPods, reports] = await Promise.all([
    podsOf(connection, systemNamespace, 'webhook'),
    askDaemons(connection, systemNamespace, onAnswer),
  ]);
  const [caBundles, dryRun, driver, csiNodes, namespaces, policy] = await Promise.all([
    findCaBundles(connection),
    tryPod(connection),
    ask<V1CSIDriver>(`/apis/storage.k8s.io/v1/csidrivers/${DRIVER}`).catch((error: unknown) => {
      if (statusOf(error) === 404) return null;
      return rethrowUnlessForbidden(error);
    }),
    orUndefined(ask<{ items: V1CSINode[] }>('/apis/storage.k8s.io/v1/csinodes')),
    orUndefined(ask<V1Namespace>(`/api/v1/namespaces/${systemNamespace}`)),
    findPolicy(connection, systemNamespace),
  ]);
  return {
    systemNamespace,
    webhookPods,
    caBundles,
    dryRun,
    driver,
    csiNodes: csiNodes?.items,
    reports,
    policy,
    namespaces: namespaces && [namespaces],
    now: new Date(),
  };
}

interface WebhookConfiguration {
  readonly metadata?: { labels?: Record<string, string> };
  readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

async function findCaBundles({ ask }: Connection): Promise<Facts['caBundles']> {
  const bundles = new Map<string, readonly (string | undefined)[]>();
  for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
    const path = `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}s`;
    const found = await orUndefined(ask<{ items: WebhookConfiguration[] }>(path));
    if (!found) return undefined;
    const own = found.items.filter(({ metadata }) => isOfChart(metadata)).flatMap(({ webhooks = [] }) => webhooks);
    bundles.set(
      kind,
      own.map(({ clientConfig }) => clientConfig.caBundle),
    );
  }
  return bundles;
}

/** Has the API server ask the webhook about a pod that is never made. */
async function tryPod({ ask, namespace }: Connection): Promise<Facts['dryRun']> {
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'hotmount-check-', annotations: { [`${PREFIX}lxcfs`]: 'meminfo' } },
    spec: {
      containers: [
        {
          name: 'check',
          image: 'hotmount-check',
          // So that no Pod Security level has anything against it.
          securityContext: {
            allowPrivilegeEscalation: false,
            runAsNonRoot: true,
            capabilities: { drop: ['ALL'] },
            seccompProfile: { type: 'RuntimeDefault' },
          },
        },
      ],
    },
  };
  try {
    const path = `/api/v1/namespaces/${namespace}/pods`;
    const { metadata } = await ask<V1Pod>(path, { method: 'POST', query: { dryRun: 'All' }, body });
    return { admitted: metadata?.annotations?.[STATUS] !== undefined };
  } catch (error) {
    return { refused: problemOf(error), code: statusOf(error) };
  }
}

const orUndefined = <T>(answer: Promise<T>): Promise<T | undefined> => answer.catch(rethrowUnlessForbidden);

function rethrowUnlessForbidden(error: unknown): undefined {
  if (statusOf(error) === 403) return undefined;
  throw error;
}
