import type { Colors } from 'picocolors/types.ts';
import { printable } from '../../contract/text.ts';
import type { NodeStatus } from '../../node/status.ts';
import { ago, alike, type Row, table } from '../table.ts';
import type { NodeReport } from './daemons.ts';

/** What `kubectl hotmount status -o json` prints. Fields may be added; those that are here stay. */
export interface ClusterStatus {
  readonly apiVersion: 'hotmount.io/v1alpha1';
  readonly kind: 'ClusterStatus';
  /** The policy that is to be in force; undefined where it may not be read. */
  readonly policy?: { readonly configMap: string; readonly digest: string };
  readonly nodes: readonly NodeReport[];
}

export interface Look {
  readonly now: Date;
  /** In columns; undefined: a row is a line. */
  readonly width: number | undefined;
  readonly colors: Colors;
  /** `-o wide` */
  readonly wide: boolean;
  /** Only what pods of this namespace have. */
  readonly namespace: string | undefined;
}

type Answered = NodeReport & { readonly status: NodeStatus };

const hasAnswered = (report: NodeReport): report is Answered => report.status !== undefined;

/** The whole cluster for people: its nodes, what is plugged in and who sees it, and what is not as it should be. */
export function formatClusterStatus(cluster: ClusterStatus, look: Look): string {
  const { colors, width } = look;
  const answered = cluster.nodes.filter(hasAnswered);
  const lines = table(nodeRows(cluster, look), width);
  const section = (title: string, head: Row, rows: readonly Row[], paint = colors.bold): void => {
    if (rows.length > 0) lines.push('', paint(title), ...table([head, ...rows], width));
  };
  section('PROBLEMS', ['NODE', 'WHAT'], cluster.nodes.flatMap(problemRows), (text) => colors.red(colors.bold(text)));
  section(
    'PLUGGED IN',
    ['NODE', 'DEVICE', 'CLASS', 'NAME', 'SINCE', ...(look.wide ? ['PATH'] : []), 'SEEN BY'],
    answered.flatMap((report) => pluggedRows(report, look)),
  );
  section(
    'TO BE KNOWN',
    ['NODE', 'DISK', 'REASON', 'WHAT'],
    answered.flatMap(({ node, status }) =>
      status.mounted.flatMap(({ disk, notes = [] }) =>
        notes.map(({ reason, message }) => [node, disk, reason, message]),
      ),
    ),
  );
  section(
    'NO ACCESS',
    ['NODE', 'DEVICE', 'POD', 'REASON', 'WHY'],
    answered.flatMap((report) => refusedRows(report, look)),
  );
  section(
    'NOT GIVEN TO LIVE PODS',
    ['NODE', 'POD', 'REASON', 'WHY'],
    answered.flatMap(({ node, status }) =>
      (status.live?.pods ?? [])
        .filter(({ pod }) => isIn(look.namespace, pod))
        .flatMap(({ pod, notGiven }) => notGiven.map(({ reason, message }) => [node, pod, reason, message])),
    ),
  );
  section(
    'FAILED',
    ['NODE', 'DEVICE', 'REASON', 'WHY'],
    answered.flatMap((report) => notDoneRows(report, 'failed')),
  );
  section(
    'LEFT ALONE',
    ['NODE', 'DEVICE', 'REASON', 'WHY'],
    answered.flatMap((report) => notDoneRows(report, 'skipped')),
  );
  return lines.map((line) => `${line}\n`).join('');
}

function nodeRows({ nodes, policy }: ClusterStatus, { wide, now }: Look): Row[] {
  const head = ['NODE', 'STATE', 'LXCFS', 'DISKS', 'DEVICES', 'POLICY', 'VERSION'];
  const more = ['UP', 'VOLUMES', 'KERNEL', 'CGROUPS', 'POD'];
  const rows = nodes.map((report): Row => {
    const { node, status } = report;
    if (!status) return [node, 'unknown', '', '', '', '', '', ...(wide ? ['', '', '', '', report.pod ?? ''] : [])];
    const { daemon, csi } = status;
    return [
      node,
      daemon.ready ? 'ready' : 'not ready',
      lxcfsState(status),
      String(status.mounted.length),
      String(status.devices.length),
      policyState(status, policy?.digest),
      daemon.version,
      ...(wide
        ? [
            ago(daemon.startedAt, now),
            String(csi?.volumes ?? 0),
            daemon.kernel ?? '',
            daemon.cgroups ?? '',
            report.pod ?? '',
          ]
        : []),
    ];
  });
  return [[...head, ...(wide ? more : [])], ...rows];
}

/** The version that serves, or what is the matter. */
export function lxcfsState({ lxcfs }: NodeStatus): string {
  if (!lxcfs) return 'none';
  if (!('instances' in lxcfs)) return 'not ready';
  const active = lxcfs.instances.find(({ role }) => role === 'active');
  return lxcfs.ready && active ? active.version : 'not ready';
}

function policyState({ policy }: NodeStatus, wanted: string | undefined): string {
  const digest = policy.digest ?? '';
  if (policy.problem) return 'refused';
  return wanted === undefined || wanted === digest ? digest : `${digest} (old)`;
}

function problemRows({ node, status, problem }: NodeReport): Row[] {
  if (!status) return [[node, problem ?? 'no answer']];
  const { daemon, policy, csi, lxcfs, devicesProblem, live, devicePlugin } = status;
  const problems = [
    daemon.problem,
    ...(daemon.failing ?? []).map((failing) => `tried again: ${failing}`),
    policy.problem && `the policy in force is an older one: ${policy.problem}`,
    csi?.problem,
    csi && !csi.registered ? 'the CSI driver is not registered with the kubelet' : undefined,
    devicesProblem,
    live?.problem && `live pods: ${live.problem}`,
    devicePlugin?.problem && `device plugin: ${devicePlugin.problem}`,
    ...uncounted(status).map((text) => `device plugin: ${text}`),
    lxcfs?.problem && `lxcfs: ${lxcfs.problem}`,
    ...(lxcfs && 'untrueViews' in lxcfs
      ? lxcfs.untrueViews.map(({ view, why }) => `lxcfs: ${view} tells the node’s values: ${why}`)
      : []),
    ...(lxcfs && 'unhealed' in lxcfs
      ? lxcfs.unhealed.map(({ path, reason, ...by }) => `lxcfs: ${path} of ${podOf(by)} is not attached: ${reason}`)
      : []),
    ...status.departed.flatMap(({ name, holders }) =>
      holders.map(
        (holder) => `${name} is gone, and ${holder.command} of ${podOf(holder)} still has ${holder.path} open`,
      ),
    ),
  ];
  return problems.flatMap((text) => (text ? [[node, text]] : []));
}

/** Resources of the device plugin whose count the kubelet does not have: pods that request them wait. */
export const uncounted = ({ devicePlugin }: NodeStatus): string[] =>
  (devicePlugin?.resources ?? [])
    .filter(({ registered, problem }) => !registered || problem !== undefined)
    .map(({ name, problem }) => `${name}: ${problem ?? 'the kubelet has not asked for its count'}`);

/** Disks and devices that pods have, or can have. */
function pluggedRows({ node, status }: Answered, look: Look): Row[] {
  const { namespace, now, wide } = look;
  const seenBy = (pods: readonly PodRef[]): string | undefined => {
    const names = [...new Set(pods.map(podOf))].filter((name) => isIn(namespace, name));
    return namespace && names.length === 0 ? undefined : names.sort().join(', ') || 'nobody';
  };
  const disks = status.mounted.map(
    (m) =>
      [
        [node, m.disk, m.class, m.label || m.fsType, ago(m.since, now), ...(wide ? [m.path] : [])],
        seenBy(m.pods ?? []),
      ] as const,
  );
  const devices = status.devices.map((d) => {
    const name = [d.vendor, d.model].filter(Boolean).join(' ') || d.usb;
    const granted = d.containers.filter(({ state }) => state === 'granted' || state === 'unneeded');
    return [[node, d.device, d.class, name, ago(d.since, now), ...(wide ? [d.path] : [])], seenBy(granted)] as const;
  });
  return [...disks, ...devices].flatMap(([cells, seen]) => (seen === undefined ? [] : [[...cells, seen]]));
}

const refusedRows = ({ node, status }: Answered, { namespace }: Look): Row[] =>
  status.devices.flatMap(({ device, containers }) =>
    containers
      .filter(({ state }) => state === 'refused' || state === 'waiting')
      .filter((container) => isIn(namespace, podOf(container)))
      .map((c) => [node, device, podOf(c), c.reason ?? c.state, c.message ?? '']),
  );

function notDoneRows({ node, status }: Answered, kind: 'failed' | 'skipped'): Row[] {
  const devices = status.devicesLeft.map(({ device, ...rest }) => ({ disk: device, ...rest }));
  const rows = alike([...status.notMounted, ...devices].filter((each) => each.kind === kind));
  const unclaimed = kind === 'failed' ? [] : status.unclaimed;
  return [
    ...rows.map((row) => [node, ...row]),
    ...unclaimed.map(({ device, vendor, model, match }) => [
      node,
      device,
      'in_no_class',
      `${[vendor, model].filter(Boolean).join(' ') || 'it'} is in no class; to match it in one: ${match}`,
    ]),
  ];
}

/** Whether a pod, `namespace/name`, is of a namespace; each is of undefined. */
export const isIn = (namespace: string | undefined, pod: string): boolean =>
  namespace === undefined || pod.startsWith(`${namespace}/`);

interface PodRef {
  readonly pod?: string;
  readonly podUid?: string;
  readonly cgroup?: string;
}

/** `namespace/name` where that is known. */
export const podOf = ({ pod, podUid, cgroup }: PodRef): string =>
  printable(pod ?? (podUid ? `pod ${podUid}` : (cgroup ?? 'a process of the node')));
