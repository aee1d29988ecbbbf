import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { errorCode } from '../../src/linux/errors.ts';
import { Faults } from './faults/faults.ts';
import { Daemon } from './support/daemon.ts';
import { devicePod, devicePolicy, ownSize, sized, untilOpens } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(23);
const RAW = `- {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]}`;
/** Of an open file that only one may have: of a disk, while it is mounted anywhere. */
const O_EXCL = constants.O_RDONLY | constants.O_EXCL;

describeSystem('containers that start', ['gcc', 'runc', 'busybox', 'zram'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('are followed no longer than they live: what they had mounted is free', async () => {
    await new Daemon(rig, { policy: devicePolicy(rig, RAW) }).start();
    const disk = new LoopDisk(rig);
    disk.plug();
    const mounted = rig.path('mounted');
    mkdirSync(mounted);
    run('mount', disk.device as string, mounted);
    const container = devicePod(rig, { runDir: rig.path('run') }, ['raw'], {
      mounts: [{ source: mounted, target: '/disk', propagation: 'private' }],
    });
    run('umount', mounted);
    expect(isFree(disk.device as string), 'the container has it').toBe(false);
    container.stop();
    // Mount tables are followed for 20 s.
    await until('it is free', () => isFree(disk.device as string), 8);
  });

  it('are found by a timer where inotify has no watches left, and that is said', async () => {
    const faults = new Faults(rig);
    faults.arm('inotify_add_watch', 'each', 'ENOSPC');
    const daemon = await new Daemon(rig, { policy: devicePolicy(rig, RAW), env: faults.env }).start();
    const problem = async () => (await daemon.status())?.devicesProblem;
    expect(await until('status says so', problem)).toContain('max_user_watches');
    expect(await (await fetch(`http://127.0.0.1:${await daemon.metricsPort()}/readyz`)).text()).toContain(
      'max_user_watches',
    );

    const disk = new ZramDisk(rig, { size: SIZE });
    const container = devicePod(rig, daemon, ['raw']);
    await untilOpens(container, `raw/${disk.name}`, 'rw');

    faults.disarm();
    await until('all is well again', async () => (await problem()) === undefined);
    const next = devicePod(rig, daemon, ['raw']);
    await untilOpens(next, `raw/${disk.name}`, 'rw');
  });
});

function isFree(device: string): boolean {
  try {
    closeSync(openSync(device, O_EXCL));
    return true;
  } catch (error) {
    if (errorCode(error) === 'EBUSY') return false;
    throw error;
  }
}
