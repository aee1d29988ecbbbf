import type { Colors } from 'picocolors/types.ts';
import { printable } from '../../contract/text.ts';
import type { LeftBehind, NodeStatus } from '../../node/status.ts';
import { colorsFor } from '../color.ts';
import { ago, alike, type Row, table } from '../table.ts';
import { accessRows, deviceRows, refusedRows, unclaimedRows } from './devices.ts';
import { goneRows, takenRows } from './holders.ts';
import { liveRows, notGivenRows } from './live.ts';
import { formatLxcfs } from './lxcfs.ts';
import { mountedRows, noteRows } from './media.ts';

/** What `hotmount status` prints for people. */
export function formatStatus(status: NodeStatus, now: Date, colors = colorsFor(process.stdout)): string {
  const { mounted, devices, working, live, lxcfs } = status;
  const devicesLeft = status.devicesLeft.map(({ device, ...rest }) => ({ disk: device, ...rest }));
  const notDone = [...status.notMounted, ...devicesLeft];
  const failed = notDone.filter(({ kind }) => kind === 'failed');
  const section = (title: string, rows: readonly Row[]): string[] =>
    rows.length > 0 ? ['', colors.bold(title), ...table(rows)] : [];
  const lines = [
    ...formatDaemon(status, now, colors),
    ...section('MOUNTED', mountedRows(mounted, now)),
    ...section('TO BE KNOWN', noteRows(mounted)),
    ...section('DEVICES', deviceRows(devices, now)),
    ...section('ACCESS TO DEVICES', accessRows(devices, now)),
    ...section('NO ACCESS', refusedRows(devices)),
    ...(live?.problem ? [colors.red(printable(live.problem))] : []),
    ...section('LIVE PODS', live ? liveRows(live) : []),
    ...section('NOT GIVEN TO LIVE PODS', live ? notGivenRows(live) : []),
    ...section(
      'AT WORK',
      working.map(({ disk, doing, since }) => [disk, doing, `for ${ago(since, now)}`]),
    ),
    ...section(
      'FAILED',
      failed.map(({ disk, reason, message }) => [disk, reason, message]),
    ),
    ...section('LEFT ALONE', alike(notDone.filter(({ kind }) => kind === 'skipped'))),
    ...section('IN NO CLASS', unclaimedRows(status.unclaimed)),
    ...(lxcfs ? ['', colors.bold('LXCFS'), ...formatLxcfs(lxcfs, now, colors)] : []),
    ...section('GONE, STILL HELD OPEN', goneRows(status.departed, now)),
    ...section('TAKEN FROM LIVE PODS, STILL HELD OPEN', takenRows(live?.taken ?? [], now)),
  ];
  return `${lines.join('\n')}\n`;
}

/** The daemon itself, its policy, and its dealings with the kubelet. */
function formatDaemon(status: NodeStatus, now: Date, colors: Colors): string[] {
  const { daemon, policy, csi, devicePlugin, devicesProblem } = status;
  const state = daemon.ready ? colors.green('ready') : colors.red(`not ready: ${daemon.problem}`);
  const problems = [
    ...(policy.problem
      ? [`the policy in force is an older one, of ${ago(policy.since, now)} ago: ${policy.problem}`]
      : []),
    ...(daemon.failing ?? []).map((failing) => `tried again: ${printable(failing)}`),
  ];
  return [
    `hotmount ${daemon.version}, process ${daemon.pid}, up ${ago(daemon.startedAt, now)}: ${state}`,
    `policy ${policy.source}: media classes ${policy.mediaClasses.join(', ') || 'none'}; device classes ${policy.deviceClasses.join(', ') || 'none'}`,
    ...problems.map(colors.red),
    ...(csi ? formatCsi(csi, colors) : []),
    ...(devicePlugin ? formatDevicePlugin(devicePlugin, colors) : []),
    ...(devicesProblem
      ? [colors.red(`devices are not looked after as they should be: ${printable(devicesProblem)}`)]
      : []),
  ];
}

function formatCsi({ registered, volumes, problem }: NonNullable<NodeStatus['csi']>, colors: Colors): string[] {
  const state = registered ? 'registered with the kubelet' : colors.red('not registered with the kubelet');
  const problems = problem ? [colors.red(printable(problem))] : [];
  return [`CSI driver: ${state}, ${volumes} volumes published`, ...problems];
}

function formatDevicePlugin({ resources, problem }: NonNullable<NodeStatus['devicePlugin']>, colors: Colors): string[] {
  const counts = resources.map(({ name, count }) => `${name} ${count}`).join(', ') || 'no resources';
  const unknown = resources.filter(({ registered }) => !registered);
  const problems = unknown.map((one) => `${one.name}: ${one.problem ?? 'the kubelet does not ask: is it running?'}`);
  return [`device plugin: ${counts}`, ...[problem ?? [], problems].flat().map((line) => colors.red(printable(line)))];
}

/** What it prints where no daemon answers; empty where nothing is mounted, and there are no device nodes. */
export function formatLeftBehind(
  { mounted, devices }: LeftBehind,
  now: Date,
  colors = colorsFor(process.stdout),
): string {
  const gone = mounted.filter(({ present }) => !present).map(({ disk }) => [disk, 'the next daemon unmounts it']);
  const nodes = devices.map(({ path, number, since }) => [number, ago(since, now), path]);
  const sections = [
    ['MOUNTED', mountedRows(mounted, now)],
    ['GONE, STILL MOUNTED', gone],
    ['DEVICES', nodes.length > 0 ? [['NUMBER', 'SINCE', 'PATH'], ...nodes] : []],
  ] as const;
  return sections
    .filter(([, rows]) => rows.length > 0)
    .map(([title, rows]) => [colors.bold(title), ...table(rows)].map((line) => `${line}\n`).join(''))
    .join('\n');
}
