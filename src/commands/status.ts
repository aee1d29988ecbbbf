import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { RUN_DIR } from '../contract/paths.ts';
import { printable } from '../contract/text.ts';
import type { DeviceStatus } from '../node/devices/status.ts';
import type { LeftBehind, MountedStatus, NodeStatus } from '../node/status.ts';
import { colorsFor } from './color.ts';
import { ago, alike, table } from './table.ts';

/** Set when the command runs. */
let pc = colorsFor(process.stdout);

interface Flags {
  runDir: string;
  output: string;
}

const HELP = `
Examples:
  hotmount status
  hotmount status -o json | jq .mounted         a NodeStatus: docs/kubectl.md
  kubectl hotmount status                       the same of all nodes

Exit codes: 0 all is well; 1 no daemon is running, or it is not ready; 2 wrong
usage.
`;

const NEXT_STEPS =
  'Start it (hotmount node), or see why its pod does not run (kubectl -n hotmount-system get pods); ' +
  '--run-dir names another run dir, and kubectl hotmount status asks all nodes';

/**
 * `hotmount status`: what the daemon of this node has mounted, and why not the rest. Exit code 1 where none is running (then
 * what the kernel knows is shown), or not well.
 */
export function statusCommand(): Command {
  return new Command('status')
    .description('show what hotmount does on this node: disks, lxcfs, and why not more')
    .option('--run-dir <directory>', 'the run dir of the daemon', RUN_DIR)
    .addOption(new Option('-o, --output <format>', 'what to print').choices(['table', 'json']).default('table'))
    .addHelpText('after', HELP)
    .action(async ({ runDir, output }: Flags, command: Command) => {
      pc = colorsFor(process.stdout);
      const { fetchStatus } = await import('../node/server.ts');
      let status: NodeStatus | undefined;
      let problem = `no hotmount node is running on ${runDir}: what is mounted there stays as it is until one is. ${NEXT_STEPS}`;
      try {
        status = await fetchStatus(runDir);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === 'EACCES')
          command.error(`error: the daemon of ${runDir} answers root alone: run it as root`, { exitCode: 1 });
        problem = `the daemon of ${runDir} did not answer: ${message}`;
      }
      if (status) {
        process.stdout.write(output === 'json' ? json(status) : formatStatus(status, new Date()));
        if (!status.daemon.ready) process.exitCode = 1;
        return;
      }
      try {
        const { readLeftBehind } = await import('../node/status.ts');
        const left = readLeftBehind(runDir);
        process.stdout.write(output === 'json' ? json(left) : formatLeftBehind(left, new Date()));
      } catch (error) {
        problem += `; and what is mounted cannot be read: ${(error as Error).message}`;
      }
      command.error(`error: ${problem}`, { exitCode: 1 });
    });
}

/** The table, for people. */
export function formatStatus(status: NodeStatus, now: Date): string {
  const { daemon, policy, mounted, devices, working, departed } = status;
  const devicesLeft = status.devicesLeft.map(({ device, ...rest }) => ({ disk: device, ...rest }));
  const notDone = [...status.notMounted, ...devicesLeft];
  const skipped = notDone.filter(({ kind }) => kind === 'skipped');
  const failed = notDone.filter(({ kind }) => kind === 'failed');
  const lines = [
    `hotmount ${daemon.version}, process ${daemon.pid}, up ${ago(daemon.startedAt, now)}: ${daemon.ready ? pc.green('ready') : pc.red(`not ready: ${daemon.problem}`)}`,
    `policy ${policy.source}: media classes ${policy.mediaClasses.join(', ') || 'none'}; device classes ${policy.deviceClasses.join(', ') || 'none'}`,
    ...(policy.problem
      ? [pc.red(`the policy in force is an older one, of ${ago(policy.since, now)} ago: ${policy.problem}`)]
      : []),
  ];
  for (const failing of daemon.failing ?? []) lines.push(pc.red(`tried again: ${printable(failing)}`));
  if (status.csi) lines.push(...formatCsi(status.csi));
  if (status.devicePlugin) lines.push(...formatDevicePlugin(status.devicePlugin));
  if (status.devicesProblem)
    lines.push(pc.red(`devices are not looked after as they should be: ${printable(status.devicesProblem)}`));
  const section = (title: string, rows: readonly (readonly string[])[]): void => {
    if (rows.length > 0) lines.push('', pc.bold(title), ...table(rows));
  };
  section('MOUNTED', mountedRows(mounted, now));
  section(
    'TO BE KNOWN',
    mounted.flatMap(({ disk, notes = [] }) => notes.map(({ reason, message }) => [disk, reason, message])),
  );
  section('DEVICES', deviceRows(devices, now));
  section('ACCESS TO DEVICES', accessRows(devices, now));
  section('NO ACCESS', refusedRows(devices));
  if (status.live) {
    if (status.live.problem) lines.push(pc.red(printable(status.live.problem)));
    section('LIVE PODS', liveRows(status.live));
    section('NOT GIVEN TO LIVE PODS', notGivenRows(status.live));
  }
  section(
    'AT WORK',
    working.map(({ disk, doing, since }) => [disk, doing, `for ${ago(since, now)}`]),
  );
  section(
    'FAILED',
    failed.map(({ disk, reason, message }) => [disk, reason, message]),
  );
  section('LEFT ALONE', alike(skipped));
  section('IN NO CLASS', unclaimedRows(status.unclaimed));
  if (status.lxcfs) lines.push('', pc.bold('LXCFS'), ...formatLxcfs(status.lxcfs, now));
  section(
    'GONE, STILL HELD OPEN',
    departed.flatMap(({ name, holders, holdersProblem, at }) => [
      ...holders.map((h) => [name, `${ago(at, now)} ago`, `${h.command} (${h.pid})`, podOf(h) ?? h.cgroup, h.path]),
      ...unknownHolders(holdersProblem, [name, `${ago(at, now)} ago`]),
    ]),
  );
  section('TAKEN FROM LIVE PODS, STILL HELD OPEN', takenRows(status.live?.taken ?? [], now));
  return `${lines.join('\n')}\n`;
}

function formatCsi({ registered, volumes, problem }: NonNullable<NodeStatus['csi']>): string[] {
  const state = registered ? 'registered with the kubelet' : pc.red('not registered with the kubelet');
  return [`CSI driver: ${state}, ${volumes} volumes published`, ...(problem ? [pc.red(printable(problem))] : [])];
}

function formatDevicePlugin({ resources, problem }: NonNullable<NodeStatus['devicePlugin']>): string[] {
  const counts = resources.map(({ name, count }) => `${name} ${count}`).join(', ') || 'no resources';
  const unknown = resources.filter(({ registered }) => !registered);
  const problems = unknown.map((one) => `${one.name}: ${one.problem ?? 'the kubelet does not ask: is it running?'}`);
  return [`device plugin: ${counts}`, ...[problem ?? [], problems].flat().map((line) => pc.red(printable(line)))];
}

/** The pod's name, or else what is known of it. */
const podOf = ({ pod, podUid }: { readonly pod?: string; readonly podUid?: string }): string | undefined =>
  pod ?? (podUid && `pod ${podUid}`);

function formatLxcfs(lxcfs: NonNullable<NodeStatus['lxcfs']>, now: Date): string[] {
  const problem = lxcfs.problem === undefined ? [] : [pc.red(printable(lxcfs.problem))];
  if (!('instances' in lxcfs)) return problem;
  const { instances, attached, restarts, lastGap, views, missingViews, unhealed } = lxcfs;
  // A supervisor of an earlier version does not tell.
  const { untrueViews = [] } = lxcfs;
  return [
    ...problem,
    ...table([
      ['ROLE', 'PROCESS', 'VERSION', 'SINCE', 'PATH'],
      ...instances.map(({ role, pid, version, since, path }) => [role, String(pid), version, ago(since, now), path]),
    ]),
    `views: ${views.join(', ') || 'none'}${missingViews.length > 0 ? `; not served, though the policy names them: ${missingViews.join(', ')}` : ''}`,
    ...untrueViews.map(({ view, why, isPartly }) =>
      pc.yellow(`${view} ${isPartly ? 'is not always right' : 'tells the node’s values'}: ${printable(why)}`),
    ),
    `${attached.files} files in ${attached.containers} containers; ${restarts} restarts`,
    ...(attached.nodeFiles > 0
      ? [pc.yellow(`${attached.nodeFiles} files more show the node’s values: no lxcfs serves them`)]
      : []),
    ...(lastGap
      ? [
          `the active one ${lastGap.cause === 'hung' ? 'hung' : 'was lost'} ${ago(lastGap.at, now)} ago; ${lastGap.containers} containers were attached to another within ${(lastGap.seconds * 1000).toFixed(0)} ms`,
        ]
      : []),
    ...unhealed.map(({ pid, path, reason, ...by }) =>
      pc.red(`${printable(path)} of process ${pid}${podOf(by) ? ` (${podOf(by)})` : ''} is not attached: ${reason}`),
    ),
  ];
}

/** The table where no daemon answers; empty where nothing is mounted, and there are no device nodes. */
export function formatLeftBehind({ mounted, devices }: LeftBehind, now: Date): string {
  if (mounted.length === 0 && devices.length === 0) return '';
  const gone = mounted.filter(({ present }) => !present).map(({ disk }) => [disk, 'the next daemon unmounts it']);
  const nodes = devices.map(({ path, number, since }) => [number, ago(since, now), path]);
  const sections = [
    ['MOUNTED', mountedRows(mounted, now)],
    ['GONE, STILL MOUNTED', gone],
    ['DEVICES', nodes.length > 0 ? [['NUMBER', 'SINCE', 'PATH'], ...nodes] : []],
  ] as const;
  return sections
    .filter(([, rows]) => rows.length > 0)
    .map(([title, rows]) => [pc.bold(title), ...table(rows)].map((line) => `${line}\n`).join(''))
    .join('\n');
}

/** `1.5 GiB`; empty where it is not known. */
function bytes(count: number | undefined): string {
  if (count === undefined) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, count < 1 ? 0 : Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

function mountedRows(mounted: readonly MountedStatus[], now: Date): string[][] {
  if (mounted.length === 0) return [];
  return [
    ['DISK', 'CLASS', 'FS', 'LABEL', 'SIZE', 'FREE', 'NOT YET WRITTEN', 'SINCE', 'CONTAINERS', 'PATH'],
    ...mounted.map((m) => [
      ...[m.disk, m.class, m.fsType, m.label, bytes(m.space?.size), bytes(m.space?.free), bytes(m.space?.dirty)],
      ...[ago(m.since, now), String(m.containers), m.path],
    ]),
  ];
}

function deviceRows(devices: readonly DeviceStatus[], now: Date): string[][] {
  if (devices.length === 0) return [];
  return [
    ['DEVICE', 'NUMBER', 'CLASS', 'ACCESS', 'USB', 'VENDOR', 'MODEL', 'SERIAL', 'PORT', 'SINCE', 'PATH'],
    ...devices.map((d) => [
      ...[d.device, d.number, d.class, d.access, d.usb, d.vendor, d.model, d.serial, d.port],
      ...[ago(d.since, now), d.path],
    ]),
  ];
}

function unclaimedRows(unclaimed: NodeStatus['unclaimed']): string[][] {
  if (unclaimed.length === 0) return [];
  return [
    ['DEVICE', 'USB', 'VENDOR', 'MODEL', 'PORT', 'TO MATCH IT IN A CLASS'],
    ...unclaimed.map((d) => [d.device, d.usb, d.vendor, d.model, d.path, d.match]),
  ];
}

/** Which containers have been given what; what those have that may open everything is not ours. */
function accessRows(devices: readonly DeviceStatus[], now: Date): string[][] {
  const rows = devices.flatMap((device) =>
    device.containers
      .filter(({ state }) => state === 'granted')
      .map((container) => [
        device.device,
        device.class,
        device.access,
        container.pod ?? container.podUid ?? '',
        container.containerId?.slice(0, 12) ?? basename(container.cgroup),
        ago(container.since, now),
      ]),
  );
  return rows.length > 0 ? [['DEVICE', 'CLASS', 'ACCESS', 'POD', 'CONTAINER', 'SINCE'], ...rows] : [];
}

const refusedRows = (devices: readonly DeviceStatus[]): string[][] =>
  devices.flatMap((device) =>
    device.containers
      .filter(({ state }) => state === 'refused' || state === 'waiting')
      .map(({ containerId, cgroup, state, reason, message, ...by }) => [
        device.device,
        podOf(by) ?? containerId?.slice(0, 12) ?? basename(cgroup),
        reason ?? state,
        message ?? '',
      ]),
  );

function liveRows({ pods }: NonNullable<NodeStatus['live']>): string[][] {
  if (pods.length === 0) return [];
  return [
    ['POD', 'MEDIA', 'DEVICES'],
    ...pods.map(({ pod, media, devices }) => [pod, media.join(','), devices.join(',')]),
  ];
}

const notGivenRows = ({ pods }: NonNullable<NodeStatus['live']>): string[][] =>
  pods.flatMap(({ pod, notGiven }) => notGiven.map(({ reason, message }) => [pod, reason, message]));

const takenRows = (taken: NonNullable<NodeStatus['live']>['taken'], now: Date): string[][] =>
  taken.flatMap(({ class: name, pod, at, holders, holdersProblem }) => [
    ...holders.map((h) => [name, `${ago(at, now)} ago`, pod, `${h.command} (${h.pid})`, h.path]),
    ...unknownHolders(holdersProblem, [name, `${ago(at, now)} ago`, pod]),
  ]);

const unknownHolders = (problem: string | undefined, about: readonly string[]): string[][] =>
  problem === undefined ? [] : [[...about, `by whom is not known yet: ${problem}`]];

/** Fields may be added to a version; those that are there stay. */
const NODE_STATUS = { apiVersion: 'hotmount.io/v1alpha1', kind: 'NodeStatus' };

const json = (value: NodeStatus | LeftBehind): string => `${JSON.stringify({ ...NODE_STATUS, ...value }, null, 2)}\n`;
