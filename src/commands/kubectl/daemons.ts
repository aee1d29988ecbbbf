import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { problemOf, statusOf } from '../../kubernetes/errors.ts';
import { type ExecResult, execInPod } from '../../kubernetes/exec.ts';
import type { NodeStatus } from '../../node/status.ts';
import type { Connection } from './connection.ts';
import { readStatus } from './read-status.ts';
import { isOfChart } from './system-namespace.ts';

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

const CONTAINER = 'node';

/** Nodes that are asked at the same time: each is a connection of its own. */
const AT_ONCE = 50;

interface List<T> {
  readonly items: readonly T[];
}

/** Each component's pods, and what makes them (charts/hotmount). */
const OWNERS = { node: 'DaemonSet', webhook: 'ReplicaSet' } as const;

/**
 * The pods of a component in hotmount's own namespace. Labels alone prove nothing.
 * @param systemNamespace of findSystemNamespace
 * @throws ApiError where they may not be listed, Error where there is no answer
 */
export async function podsOf(
  { ask }: Connection,
  systemNamespace: string,
  component: keyof typeof OWNERS,
): Promise<readonly V1Pod[]> {
  const query = { labelSelector: `app.kubernetes.io/component=${component}` };
  const { items } = await ask<List<V1Pod>>(`/api/v1/namespaces/${systemNamespace}/pods`, { query });
  const isOwned = ({ metadata }: V1Pod): boolean =>
    metadata?.ownerReferences?.some(({ kind, controller }) => controller && kind === OWNERS[component]) === true;
  return items.filter((pod) => isOfChart(pod.metadata) && isOwned(pod));
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
 * @param systemNamespace of findSystemNamespace
 * @param onAnswer for the progress: how many have been asked, of how many
 * @param only these nodes
 */
export async function askDaemons(
  connection: Connection,
  systemNamespace: string,
  onAnswer: (done: number, all: number) => void,
  only?: ReadonlySet<string>,
): Promise<NodeReport[]> {
  const [pods, nodes] = await Promise.all([
    podsOf(connection, systemNamespace, 'node'),
    only ? undefined : linuxNodes(connection),
  ]);
  const byNode = podByNode(pods);
  if (byNode.size === 0) throw new Error(notInstalled(systemNamespace, pods.length));
  const all = only ?? new Set([...(nodes ?? []).map(({ metadata }) => metadata?.name ?? ''), ...byNode.keys()]);
  const names = [...all].sort();
  let done = 0;
  return inTurns(names, async (node): Promise<NodeReport> => {
    const pod = byNode.get(node);
    const report = pod ? await askDaemon(connection, node, pod) : { node, problem: 'no hotmount node runs there' };
    done += 1;
    onAnswer(done, names.length);
    return report;
  });
}

const notInstalled = (systemNamespace: string, pending: number): string =>
  pending > 0
    ? 'no pod of hotmount node is on a node yet: kubectl describe says why it is not scheduled'
    : `no pod of hotmount node is in the namespace ${systemNamespace}: is the chart installed (helm list -A), and with node.enabled?`;

const NO_STATUS = 'hotmount status has printed nothing there: kubectl logs of its pod may say why';

async function askDaemon(connection: Connection, node: string, pod: V1Pod): Promise<NodeReport> {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const report = { node, pod: `${namespace}/${name}` };
  try {
    const { stdout, stderr } = await execOnNode(connection, pod, ['hotmount', 'status', '-o', 'json']);
    const status = readStatus(stdout);
    if (status) return { ...report, status };
    return { ...report, problem: stderr.trim().replace(/^error: /, '') || NO_STATUS };
  } catch (error) {
    return { ...report, problem: problemOf(error) };
  }
}

/**
 * Runs a command beside the daemon of a node.
 * @param longer ms that it may take beyond --timeout
 * @throws Error that says why there is no answer, and what to do where that can be known
 */
export async function execOnNode(
  { config, timeout }: Connection,
  pod: V1Pod,
  command: readonly string[],
  longer = 0,
): Promise<ExecResult> {
  const { namespace = '', name = '' } = pod.metadata ?? {};
  const signal = AbortSignal.timeout(timeout + longer);
  try {
    return await execInPod(config, { namespace, pod: name, container: CONTAINER, command, signal });
  } catch (error) {
    const problem = whyNot(error, timeout, longer);
    throw new Error(statusOf(error) === 403 ? `${problem}: it takes the right to create pods/exec there` : problem);
  }
}

/** Why there is no answer. @param timeout ms of --timeout @param longer ms that were given beyond it */
export function whyNot(error: unknown, timeout: number, longer = 0): string {
  if ((error as Error).name !== 'TimeoutError') return problemOf(error);
  const beyond = longer > 0 ? ` and ${longer / 1000} s more` : '';
  return `no answer within ${(timeout + longer) / 1000} s (--timeout${beyond})`;
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
