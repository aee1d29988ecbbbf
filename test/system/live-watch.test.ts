import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Faults } from './faults/faults.ts';
import { Daemon } from './support/daemon.ts';
import { ownSize } from './support/devices.ts';
import { FakeKubelet } from './support/fake-kubelet.ts';
import { LivePod, livePolicy } from './support/live.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const SIZE = ownSize(25);
const MEDIA = { 'hotmount.io/media': 'test' };

describeSystem('a live pod that inotify tells nothing of', ['gcc', 'runc', 'busybox'], () => {
  let rig: Rig;
  let kubelet: FakeKubelet;

  beforeEach(() => {
    rig = new Rig();
    kubelet = new FakeKubelet(rig.path('kubelet'));
  });
  afterEach(async () => {
    kubelet.close();
    await rig.close();
  });

  const startDaemon = (env: Readonly<Record<string, string>> = {}): Promise<Daemon> =>
    new Daemon(rig, { policy: livePolicy(rig, SIZE), kubeletDir: 'kubelet', env }).start();

  it('has what it is annotated with, though the kernel had no room for the event', async () => {
    const daemon = await startDaemon();
    const [noisy, quiet] = [await LivePod.start(rig, kubelet), await LivePod.start(rig, kubelet)];
    for (const live of [noisy, quiet]) await live.status(daemon, ({ notGiven }) => notGiven.length === 0);
    const room = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
    const volume = kubelet.annotationsVolume(noisy.pod);
    process.kill(daemon.pid, 'SIGSTOP');
    writeFileSync(`${volume}/0`, '');
    for (let i = 0; i < room; i++) renameSync(`${volume}/${i % 2}`, `${volume}/${(i + 1) % 2}`);
    quiet.annotate(MEDIA);
    process.kill(daemon.pid, 'SIGCONT');
    await until('it has the class', () => quiet.container.sees('/hotmount/media/test'));
  });

  it('is asked about by a timer where inotify has no watches left, and that is said', async () => {
    const faults = new Faults(rig);
    faults.arm('inotify_add_watch', 'each', 'ENOSPC');
    const blind = await startDaemon(faults.env);
    const live = await LivePod.start(rig, kubelet);
    const problem = async () => (await blind.status())?.live?.problem;
    expect(await until('status says so', problem)).toContain('max_user_watches');
    live.annotate(MEDIA);
    await until('it has the class', () => live.container.sees('/hotmount/media/test'));
    faults.disarm();
    await until('all is well again', async () => (await problem()) === undefined);
    live.annotate({});
    await until('it is gone', () => !live.container.sees('/hotmount/media/test'));
  });
});
