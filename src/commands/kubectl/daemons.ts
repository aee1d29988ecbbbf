import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { problemOf, statusOf } from '../../kubernetes/errors.ts';
import { type ExecResult, execInPod } from '../../kubernetes/exec.ts';
import type { NodeStatus } from '../../node/status.ts';
import type { Connection } from './connection.ts';

/** What is known of one node. */
export interface NodeReport {
  readonly node: string;
  /** `namespace/name` of the pod of the daemon that was asked. */
  readonly pod?: string;
  /** Undefined where there is a problem. */
  readonly status?: NodeStatus;
  /** Why nothing is known of it. */
  readonly problem?: string;
}

/** Where the chart installs by docs/install.md: looked at where one may not look at all namespaces. */
const USUAL_NAMESPACE = 'hotmount-system';
const CONTAINER = 'node';

/** Nodes that are asked at the same time: each is a connection of its own. */
const AT_ONCE = 50;

interface List<T> {
  readonly items: readonly T[];
}

/** The pods of a component of hotmount's in all of the cluster. @throws Error that says what right is missing */
export async function podsOf(
  { ask, systemNamespace }: Connection,
  component: 'node' | 'lxcfs' | 'webhook',
): Promise<readonly V1Pod[]> {
  const query = { labelSelector: `app.kubernetes.io/component=${component}` };
  const list = (path: string) => ask<List<V1Pod>>(path, { query });
  const inNamespace = (name: string) => list(`/api/v1/namespaces/${name}/pods`);
  const { items } = await (systemNamespace === undefined
    ? list('/api/v1/pods').catch((error: unknown) => {
        if (statusOf(error) === 403) return inNamespace(USUAL_NAMESPACE);
        throw error;
      })
    : inNamespace(systemNamespace));
  return items.filter(({ metadata }) => metadata?.labels?.['helm.sh/chart']?.startsWith('hotmount-'));
}

/** All nodes that run Linux; undefined where one may not see them. */
export async function linuxNodes({ ask }: Connection): Promise<readonly V1Node[] | undefined> {
  try {
    const { items } = await ask<List<V1Node>>('/api/v1/nodes');
    return items.filter(({ metadata }) => metadata?.labels?.['kubernetes.io/os'] !== 'windows');
  } catch (error) {
    if (statusOf(error) === 403) return undefined;
    throw error;
  }
}

/** Of several pods on a node, as there are while they are being replaced, the one to ask: one that is ready before one that is not. */
export function podByNode(pods: readonly V1Pod[]): ReadonlyMap<string, V1Pod> {
  const rank = ({ metadata, status }: V1Pod): number =>
    (status?.containerStatuses?.some(({ ready }) => ready) ? 0 : 2) + (metadata?.deletionTimestamp ? 1 : 0);
  const ranked = [...pods].sort((a, b) => rank(b) - rank(a));
  return new Map(ranked.flatMap((pod) => (pod.spec?.nodeName ? [[pod.spec.nodeName, pod] as const] : [])));
}

/**
 * Asks the daemons of all nodes at the same time. What is wrong with one is said of that one.
 * @param onAnswer for the progress: how many have been asked, of how many
 * @param only these nodes
 */
export async function askDaemons(
  connection: Connection,
  onAnswer: (done: number, all: number) => void,
  only?: ReadonlySet<string>,
): Promise<NodeReport[]> {
  const [pods, nodes] = await Promise.all([podsOf(connection, 'node'), linuxNodes(connection)]);
  const byNode = podByNode(pods);
  if (byNode.size === 0) throw new Error(notInstalled(connection, pods.length));
  const all = new Set([...(nodes ?? []).map(({ metadata }) => metadata?.name ?? ''), ...byNode.keys()]);
  const names = [...all].filter((name) => only?.has(name) ?? true).sort();
  let done = 0;
  return inTurns(names, async (node): Promise<NodeReport> => {
    const pod = byNode.get(node);
    const report = pod ? await askDaemon(connection, node, pod) : { node, problem: 'no hotmount node runs there' };
    done += 1;
    onAnswer(done, names.length);
    return report;
  });
}

const notInstalled = ({ systemNamespace }: Connection, pending: number): string =>
  pending > 0
    ? 'no pod of hotmount node is on a node yet: kubectl describe says why it is not scheduled'
    : `hotmount node runs on no node${systemNamespace ? ` by ${systemNamespace}` : ''}: is the chart installed (helm list -A), and with node.enabled?`;

async function askDaemon(connection: Connection, node: string, pod: V1Pod): Promise<NodeReport> {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const report = { node, pod: `${namespace}/${name}` };
  try {
    const { stdout, stderr } = await execOnNode(connection, pod, ['hotmount', 'status', '-o', 'json']);
    const status = readStatus(stdout);
    return status ? { ...report, status } : { ...report, problem: stderr.trim().replace(/^error: /, '') };
  } catch (error) {
    return { ...report, problem: whyNot(error, connection.timeout) };
  }
}

/** Runs a command beside the daemon of a node. @throws as execInPod does */
export function execOnNode(
  { config, timeout }: Connection,
  pod: V1Pod,
  command: readonly string[],
  longer = 0,
): Promise<ExecResult> {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const signal = AbortSignal.timeout(timeout + longer);
  return execInPod(config, { namespace, pod: name, container: CONTAINER, command, signal });
}

/** Also where it exits with 1, as a daemon that is not ready does; undefined where no daemon has answered. */
function readStatus(stdout: string): NodeStatus | undefined {
  try {
    const status = JSON.parse(stdout) as NodeStatus | { daemon: null };
    return status.daemon === null ? undefined : status;
  } catch {
    return undefined;
  }
}

/** Why there is no answer, and what to do where that can be known. */
export function whyNot(error: unknown, timeout: number): string {
  if ((error as Error).name === 'TimeoutError') return `no answer within ${timeout / 1000} s (--timeout)`;
  const problem = problemOf(error);
  return statusOf(error) === 403 ? `${problem}: it takes the right to create pods/exec there` : problem;
}

/** `work` for each, so many at the same time; the results in their order. */
async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as T);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return results;
}
