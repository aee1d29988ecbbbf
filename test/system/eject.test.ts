import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { requestEjection } from '../../src/node/server.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk, Partition } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a disk that is ejected', ['runc', 'busybox', 'addpart', 'sfdisk'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const pod = (daemon: Daemon): Container =>
    new Container(rig, {
      mounts: [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave', readOnly: true }],
    });

  it('on the node is unmounted everywhere, and left alone until it is plugged in anew, by the next daemon too', async () => {
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon);
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'there' } });
    await daemon.mounted(disk.plug());
    container.sh('echo kept > /media/STICK/kept');
    expect(await requestEjection(daemon.runDir, disk.name)).toEqual({ disks: [{ disk: disk.name }] });
    expect([daemon.mountPoints(), container.sees('/media/STICK')]).toEqual([[], false]);
    await daemon.leftFor(disk.name, 'ejected');
    await daemon.stop();
    await daemon.start();
    await daemon.leftFor(disk.name, 'ejected');
    disk.unplug();
    await daemon.mounted(disk.plug());
    expect(container.sh('cat /media/STICK/kept')).toBe('kept');
  });

  it('while a container holds a file open is not said to be safe to pull', async () => {
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon);
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'there' } });
    await daemon.mounted(disk.plug());
    const holding = container.start(
      'exec 5</media/STICK/hello; echo open; while ! [ -e /tmp/stop ]; do sleep 0.1; done',
    );
    await until('it prints something', () => holding());
    const answer = await requestEjection(daemon.runDir, disk.name);
    expect(answer?.disks[0]?.problem).toContain('hello open');
    container.sh('touch /tmp/stop');
    await until('the report is taken back', async () => {
      const [report] = (await daemon.status())?.departed ?? [];
      return report?.holders.length === 0;
    });
  });

  it('from within a pod goes by a file that it makes, and one that was there before asks for nothing', async () => {
    const daemon = await new Daemon(rig).start();
    const container = pod(daemon);
    const disk = new LoopDisk(rig, { label: 'STICK', files: { '.eject': 'old' } });
    const path = await daemon.mounted(disk.plug());
    container.sh('rm /media/STICK/.eject; echo kept > /media/STICK/kept');
    await sleep(300);
    expect(daemon.mountPoints()).toHaveLength(2);
    container.sh('touch /media/STICK/.eject');
    await daemon.leftFor(disk.name, 'ejected');
    expect([daemon.mountPoints(), existsSync(path)]).toEqual([[], false]);
    disk.unplug();
    await daemon.mounted(disk.plug());
    expect(container.sh('ls -A /media/STICK')).not.toContain('.eject');
  });

  it('is named where there is none', async () => {
    const daemon = await new Daemon(rig).start();
    await expect(requestEjection(daemon.runDir, 'sdzz')).rejects.toThrow('there is no disk sdzz');
    await daemon.stop();
    expect(await requestEjection(daemon.runDir, 'sdzz')).toBeUndefined();
  });

  it('goes with all its partitions; of those, firmware’s are not mounted unless a class asks for them', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'none', size: 24 });
    disk.plug();
    const sectors = 16_384;
    const table = `label: gpt\nstart=2048, size=${sectors}, type=U\nstart=${2048 + sectors}, size=${sectors}, type=L\n`;
    run('sh', '-c', `printf '${table}' | sfdisk -q --no-reread --no-tell-kernel ${disk.image}`);
    for (const [i, label] of ['ESP', 'DATA'].entries()) {
      const offset = (2048 + i * sectors) * 512;
      run('mkfs.ext4', '-q', '-F', '-E', `offset=${offset},nodiscard`, '-U', rig.uuid(), '-L', label, disk.image, '7M');
    }
    run('blockdev', '--flushbufs', disk.device as string);
    const [efi, data] = [1, 2].map((number) => new Partition(rig, disk.device as string, sectors, number)) as [
      Partition,
      Partition,
    ];
    await daemon.mounted(data.name);
    expect(await daemon.leftFor(efi.name, 'system_partition')).toContain('c12a7328-f81f-11d2-ba4b-00a0c93ec93b');
    const match = `{uuid: ["${rig.uuidPrefix}-*"], partType: ["c12a7328-*", "0fc63daf-*"]}`;
    daemon.setPolicy(rig.policy(`- {name: test, match: [${match}]}`));
    await daemon.mounted(efi.name);
    const answer = await requestEjection(daemon.runDir, disk.name);
    expect(answer?.disks.map(({ disk: name }) => name).sort()).toEqual([efi.name, data.name].sort());
    expect(daemon.mountPoints()).toEqual([]);
  });
});
