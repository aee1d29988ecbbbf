import { spawnSync } from 'node:child_process';
import { rmdirSync, statSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Daemon } from './support/daemon.ts';
import { ownSize } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { FakeKubelet } from './support/fake-kubelet.ts';
import { LivePod, liveMounts, livePolicy } from './support/live.ts';
import { mountPointsBelow, Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(24);
const BOTH = { 'hotmount.io/media': 'test', 'hotmount.io/devices': 'raw' };
const STICK = '/hotmount/media/test/STICK';
/** Disks that are older than the run dir count as built in, unless they are removable, which these are not. */
const policyOf = (rig: Rig): string => livePolicy(rig, SIZE).replaceAll('match: [{', 'match: [{removable: false, ');

describeSystem('a live pod whose directory was lost', ['runc', 'busybox', 'zram'], () => {
  let rig: Rig;
  let kubelet: FakeKubelet;
  let daemon: Daemon;
  let disk: LoopDisk;
  let raw: ZramDisk;
  let live: LivePod;

  const reads = (): boolean => live.container.sh(`cat ${STICK}/hello`) === 'from the disk';
  const opens = (): boolean => live.container.sh(`( : < /hotmount/devices/raw/${raw.name} ) && echo yes`) === 'yes';
  const hasBoth = async (): Promise<void> => {
    await until('it reads the stick', reads);
    await until('it opens the device', opens);
    const status = await live.status(daemon, ({ notGiven }) => notGiven.length === 0);
    expect(status).toMatchObject({ pod: 'edge-1/web', media: ['test'], devices: ['raw'] });
    expect((await daemon.status())?.devices[0]?.containers).toHaveLength(1);
    expect(liveMounts(daemon.runDir)).toHaveLength(3);
  };
  /** With all that is mounted in it. */
  const loseRunDir = (): void => {
    run('umount', '-l', daemon.runDir);
    expect(mountPointsBelow(daemon.runDir)).toEqual([]);
  };
  /** However the daemon, which mounts and makes again what is taken away, gets in between. */
  const removeDirectory = (directory: string): void => {
    const inode = (): number | undefined => statSync(directory, { throwIfNoEntry: false })?.ino;
    const before = inode();
    while (inode() === before) {
      for (const mountPoint of mountPointsBelow(directory).reverse()) spawnSync('umount', ['-l', mountPoint]);
      spawnSync('rm', ['-r', directory]);
    }
  };
  /** What root has to do to remove something there. */
  const withWritableRunDir = (action: (liveDirectory: string) => void): void => {
    run('mount', '-o', 'remount,bind,rw', daemon.runDir);
    action(`${daemon.runDir}/live/${live.pod.uid}`);
    run('mount', '-o', 'remount,bind,ro', daemon.runDir);
  };
  const toldOfContainer = async (): Promise<void> => {
    const isLost = ({ reason }: { reason: string }): boolean => reason === 'live_directory_lost';
    const { notGiven } = await live.status(daemon, (status) => status.notGiven.some(isLost));
    expect(notGiven.find(isLost)?.message).toContain(`(container of process ${live.container.pid}): delete the pod`);
  };

  beforeEach(async () => {
    rig = new Rig();
    kubelet = new FakeKubelet(rig.path('kubelet'));
    daemon = await new Daemon(rig, { policy: policyOf(rig), kubeletDir: 'kubelet' }).start();
    disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    await daemon.mounted(disk.plug());
    raw = new ZramDisk(rig, { size: SIZE });
    live = await LivePod.start(rig, kubelet, BOTH);
    await hasBoth();
  });
  afterEach(async () => {
    kubelet.close();
    await rig.close();
  });

  it('has it again after a boot, with what it is annotated with', async () => {
    await daemon.kill();
    live.container.stop();
    loseRunDir();
    await daemon.start();
    await live.status(daemon, ({ media, devices, notGiven }) => media.length + devices.length === 2 && !notGiven[0]);
    live.restart();
    await hasBoth();
  });

  it('has it again where its container runs on, which is told to be restarted', async () => {
    loseRunDir();
    await until('the daemon ends', () => daemon.hasEnded);
    await daemon.logged(/has been unmounted, or covered: what is mounted reaches no pod/);
    await daemon.start();
    await toldOfContainer();
    expect(live.container.sees(STICK)).toBe(false);
    // Nobody grants what cannot be opened.
    expect((await daemon.status())?.devices[0]?.containers).toEqual([]);
    live.restart();
    await hasBoth();
  });

  it('has it again where somebody removes it under the daemon', async () => {
    withWritableRunDir(removeDirectory);
    await toldOfContainer();
    live.restart();
    await hasBoth();
  });

  it('is given again what somebody takes away from it', async () => {
    run('umount', '-l', `${daemon.runDir}/live/${live.pod.uid}/media/test`);
    await hasBoth();
    live.annotate({});
    await live.status(daemon, ({ media, devices }) => media.length + devices.length === 0);
    withWritableRunDir((directory) => rmdirSync(`${directory}/devices`));
    live.annotate(BOTH);
    await hasBoth();
  });
});
