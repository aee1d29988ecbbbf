import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { devicePod, devicePolicy, deviceState, deviceStatus, ownSize, sized, untilOpens } from './support/devices.ts';
import { LoopDisk, Partition, ZramDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(31);
const RAW = `- {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]}`;

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

const start = (classes: string): Promise<Daemon> => new Daemon(rig, { policy: devicePolicy(rig, classes) }).start();
const plug = (): ZramDisk => new ZramDisk(rig, { size: SIZE });

/** Mounts a disk as a pod with private propagation has it: no mount of the node tells. @returns how to end it */
async function mountElsewhere(disk: string): Promise<() => void> {
  const at = rig.path(`private-${disk}`);
  mkdirSync(at);
  const script = 'mount "/dev/$0" "$1" && echo mounted && exec sleep 100000';
  const child = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', script, disk, at], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  rig.onClose('process', () => child.kill('SIGKILL'));
  await until(`${disk} is mounted elsewhere`, () => output !== '');
  return () => child.kill('SIGKILL');
}

const untilLeft = (daemon: Daemon, disk: string): Promise<true> =>
  until(`${disk} is left where it is`, async () => {
    const { devices, devicesLeft } = (await daemon.status()) ?? {};
    const left = devicesLeft?.find(({ device }) => device === disk);
    if (left?.reason === 'in_use_by_container') return true as const;
    throw new Error(JSON.stringify({ devices, devicesLeft }));
  });

/** Another disk comes, and by that all that are in use are looked at again. */
async function lookAgain(daemon: Daemon): Promise<void> {
  const other = plug();
  await deviceStatus(daemon, `raw/${other.name}`);
  await other.unplugWhenFree();
}

describeSystem('a raw disk that some container has mounted', ['runc', 'busybox', 'zram', 'unshare'], () => {
  it('is given to nobody, however often it is looked at, until it is unmounted there', async () => {
    const daemon = await start('');
    const disk = plug();
    const unmount = await mountElsewhere(disk.name);
    daemon.setPolicy(devicePolicy(rig, RAW));
    await untilLeft(daemon, disk.name);
    for (let i = 0; i < 3; i++) {
      await lookAgain(daemon);
      expect(existsSync(`${daemon.runDir}/devices/raw/${disk.name}`)).toBe(false);
    }
    unmount();
    await deviceStatus(daemon, `raw/${disk.name}`);
  });

  it('is in use as a whole where only a partition of it is', async () => {
    const daemon = await start('');
    const disk = new LoopDisk(rig, { fsType: 'none', size: 23 });
    disk.plug();
    const partition = new Partition(rig, disk.device as string, 20_000);
    run('mkfs.ext4', '-q', '-F', `/dev/${partition.name}`);
    const unmount = await mountElsewhere(partition.name);
    daemon.setPolicy(devicePolicy(rig, '- {name: raw, match: [{bus: [loop], minSize: 23Mi, maxSize: 23Mi}]}'));
    await untilLeft(daemon, disk.name);
    unmount();
  });

  it('stays with those who had it before: they may mount what they were given, and the daemon be restarted', async () => {
    const daemon = await start(RAW);
    const container = devicePod(rig, daemon, ['raw']);
    const disk = plug();
    await untilOpens(container, `raw/${disk.name}`, 'rw');
    const unmount = await mountElsewhere(disk.name);
    const granted = deviceState(container);
    const { since } = await deviceStatus(daemon, `raw/${disk.name}`);
    await lookAgain(daemon);
    await daemon.kill();
    await daemon.start();
    await lookAgain(daemon);
    expect(deviceState(container)).toEqual(granted);
    expect((await deviceStatus(daemon, `raw/${disk.name}`)).since, 'it is the same node').toBe(since);
    unmount();
  });
});

describeSystem('a raw disk', ['mkfs.btrfs', 'unshare'], () => {
  it('that has a btrfs, whose mounts do not have its number, is in use too', async () => {
    const daemon = await start('');
    const disk = new LoopDisk(rig, { fsType: 'btrfs', size: 129 });
    const unmount = await mountElsewhere(disk.plug());
    daemon.setPolicy(devicePolicy(rig, '- {name: raw, match: [{bus: [loop], minSize: 129Mi, maxSize: 129Mi}]}'));
    await untilLeft(daemon, disk.name);
    unmount();
    await deviceStatus(daemon, `raw/${disk.name}`);
  });
});
