import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Mount, readMountinfo } from '../../src/linux/mountinfo.ts';
import { describeUnless } from '../describe-unless.ts';
import { earlierState, extractState } from '../earlier-state.ts';
import { versions as cgroupVersions } from './device-cgroup/cgroups.ts';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePod, deviceState, deviceStatus, opens, ownSize, sized, untilOpens } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { isNowhere, Rig, readText, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(37);
const NAME = 'another version that takes over the run dir';
/** What one leaves for the next: the run dir with its mounts and nodes, and what containers have been let open. */
const earlier = earlierState('src/node/run-dir', 'src/linux/device-cgroup');
if (earlier === undefined) describeUnless('git knows no earlier state', NAME, () => {}, 'history');
else describeSystem(NAME, ['runc', 'busybox', 'zram', 'lxcfs', 'gcc'], () => takeOver(earlier));

function takeOver(state: string): void {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const policy = (): string =>
    `${rig.policy(`- {name: test, match: [{bus: [loop], uuid: ["${rig.uuidPrefix}-*"]}]}`)}deviceClasses:
  - {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]}
`;
  const WAYS = [
    ['an upgrade', 'SIGTERM'],
    ['an upgrade', 'SIGKILL'],
    ['a rollback', 'SIGTERM'],
    ['a rollback', 'SIGKILL'],
  ] as const;
  /** @returns the one that is there first, and the one that follows */
  function versions<Program extends Daemon | LxcfsService>(
    way: (typeof WAYS)[number][0],
    make: () => Program,
  ): readonly [Program, Program] {
    const checkout = rig.path('earlier');
    extractState(state, checkout, 'src', 'package.json');
    // Beside it: what it caches in node_modules of its own goes with the rig.
    symlinkSync(join(import.meta.dirname, '../../node_modules'), rig.path('node_modules'));
    const [before, today] = [make(), make()];
    before.cli = join(checkout, 'src/cli.ts');
    return way === 'an upgrade' ? [before, today] : [today, before];
  }

  it.each(WAYS)(
    'keeps mounts and grants over %s, the first ended by %s, and ends them when pulled',
    async (way, signal) => {
      const [first, second] = versions(way, () => new Daemon(rig, { policy: policy() }));
      await first.start();
      const source = `${first.runDir}/media/test`;
      const reader = new Container(rig, { mounts: [{ source, target: '/media', propagation: 'rslave' }] });
      const holders = cgroupVersions().map((version) => devicePod(rig, first, ['raw'], { unified: version === 2 }));
      const ungranted = holders.map(deviceState);
      const [disk, device] = [new LoopDisk(rig, { label: 'STICK' }), new ZramDisk(rig, { size: SIZE })];
      await first.mounted(disk.plug());
      const path = `raw/${device.name}`;
      for (const holder of holders) await untilOpens(holder, path, 'rw');
      const number = readText(`/sys/block/${disk.name}/dev`).trim();
      const mounts = () => [...mountsOf(number, 'self'), ...mountsOf(number, reader.pid)];
      const mounted = mounts();
      expect(mounted.map(({ mountPoint }) => mountPoint)).toContain('/media/STICK');
      const writes = goOn(reader, 'echo line >&3', '3> /media/STICK/log');
      const opened = holders.map((holder) => goOn(holder, `: < /devices/${path}`));
      const written = (): number => readFileSync(`${source}/STICK/log`).length;
      await until('it writes', () => written() > 0);

      await first.stop(signal);
      await second.start();
      await deviceStatus(second, path);
      expect(await second.mounted(disk.name)).toBe(`${source}/STICK`);
      const length = written();
      await until('it goes on writing', () => written() > length);
      expect(mounts()).toEqual(mounted);
      for (const holder of holders) expect(opens(holder, path)).toBe('rw');
      for (const end of [writes, ...opened]) await end();

      await device.unplugWhenFree();
      for (const holder of holders) await untilOpens(holder, path, 'gone');
      await until('what was granted is taken back', () => expect(holders.map(deviceState)).toEqual(ungranted) ?? true);
      disk.pull();
      await until('the disk is nowhere', () => isNowhere(number) && !reader.sees('/media/STICK'));
      expect(second.mountPoints()).toEqual([]);
    },
  );

  it.each(WAYS.slice(1, 3))('lets containers read from lxcfs over %s, the first ended by %s', async (way, signal) => {
    const [first, second] = versions(way, () => new LxcfsService(rig));
    await first.start();
    const container = new ReadingContainer(rig, { source: first.source }).start();
    await until('it reads', () => container.last().size === container.files.length);
    await first.stop(signal);
    await second.start();
    expect((await second.status())?.supervisor.pid).toBe(second.pid);
    const next = new ReadingContainer(rig, { source: second.source }).start();
    await until('the next one reads', () => next.last().size === next.files.length);
    for (const one of [container, next]) {
      expect(one.last().get('/proc/meminfo')).toBe(one.memTotal);
      expect(one.errors()).toEqual({ time: 0, errnos: new Set() });
    }
  });
}

/**
 * Does it in a container again and again, with a file open all the time where one is named.
 * @returns how to end it, which fails where it has failed once
 */
function goOn(container: Container, command: string, file = ''): () => Promise<void> {
  const said = container.start(
    `exec ${file}; while [ ! -e /tmp/stop ]; do ${command} || exit 1; usleep 10000; done; echo stopped`,
  );
  return async () => {
    container.sh('touch /tmp/stop');
    expect(await until('it has stopped', said)).toBe('stopped\n');
  };
}

/** Where a process has a file system mounted, by the kernel's number of each mount. */
const mountsOf = (device: string, pid: number | 'self'): Pick<Mount, 'id' | 'mountPoint'>[] =>
  readMountinfo(pid)
    .filter((mount) => mount.device === device)
    .map(({ id, mountPoint }) => ({ id, mountPoint }));
