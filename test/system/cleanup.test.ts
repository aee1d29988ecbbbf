import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readMountinfo } from '../../src/linux/mountinfo.ts';
import { CLI } from './support/cli-process.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('hotmount node --cleanup', ['unshare'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
    run('mount', '--make-shared', rig.dir);
  });
  afterEach(() => rig.close());

  it('knows the run dir by another name, and leaves alone one whose daemon cannot answer', async () => {
    const daemon = await new Daemon(rig).start();
    const alias = rig.path('alias');
    symlinkSync(daemon.runDir, alias);
    const cleanUp = (path: string) =>
      spawnSync(process.execPath, [CLI, 'node', '--cleanup', '--no-csi', '--run-dir', path], { encoding: 'utf8' });
    process.kill(daemon.pid, 'SIGSTOP');
    expect(cleanUp(alias)).toMatchObject({ status: 1, stderr: expect.stringContaining(`running on ${daemon.runDir}`) });
    await daemon.kill();
    expect(cleanUp(`${alias}/`).stderr).toContain('removed the run dir');
    expect(readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(daemon.runDir))).toEqual([]);
  });

  it('leaves nothing mounted on the node, also from a container that has the run dir as a volume', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'STICK' });
    disk.plug();
    await daemon.mounted(disk.name);
    await daemon.stop();
    const left = () => readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(`${daemon.runDir}`));
    expect(left()).not.toEqual([]);

    // As the kubelet has `Bidirectional` volumes mounted: a peer of the node's mount, below a root file system that is the container's own.
    const root = rig.path('root');
    mkdirSync(root);
    const volume = `${root}/volume`;
    const inContainer = `mount -t tmpfs root ${root}; mount --make-private ${root}; mkdir ${volume}; mount --rbind ${daemon.runDir} ${volume}; exec "$@"`;
    const cleanUp = [process.execPath, CLI, 'node', '--cleanup', '--no-csi', '--run-dir', volume];
    run('unshare', '--mount', '--propagation', 'unchanged', 'sh', '-ec', inContainer, 'sh', ...cleanUp);
    expect(left()).toEqual([]);
  });
});
