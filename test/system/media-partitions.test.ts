import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findProgram } from '../../src/linux/find-program.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk, Partition } from './support/disks.ts';
import { Rig, run } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('a logical partition', ['addpart', 'sfdisk'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('for firmware is not mounted unless a class asks for its type', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { fsType: 'none', size: 48 });
    disk.plug();
    const sectors = 16_384;
    const start = 2048 + 4 * sectors;
    const table = `label: dos\nstart=2048, type=5\nstart=${start}, size=${sectors}, type=ef\n`;
    run('sh', '-c', `printf '${table}' | sfdisk -q --no-reread --no-tell-kernel ${disk.image}`);
    const place = `offset=${start * 512},nodiscard`;
    run('mkfs.ext4', '-q', '-F', '-E', place, '-U', rig.uuid(), '-L', 'LOGICAL', disk.image, '7M');
    run('blockdev', '--flushbufs', disk.device as string);
    const partition = new Partition(rig, disk.device as string, sectors, 5);
    expect(await daemon.leftFor(partition.name, 'system_partition')).toContain('0xef');
    daemon.setPolicy(rig.policy(`- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"], partType: ["0xef"]}]}`));
    await daemon.mounted(partition.name);
  });
});

describeSystem(
  'a partition whose type cannot be read for want of descriptors',
  ['addpart', 'sfdisk', 'prlimit', 'perl'],
  () => {
    let rig: Rig;
    beforeEach(() => {
      rig = new Rig();
    });
    afterEach(() => rig.close());

    it('is mounted only where a class takes all types, and is looked at again', async () => {
      const want = rig.path('want');
      writeFileSync(want, '');
      const daemon = await new Daemon(rig, { env: { PATH: readersInWant(rig, want) } }).start();
      const disk = new LoopDisk(rig, { fsType: 'none', size: 48 });
      disk.plug();
      const sectors = 16_384;
      const table = `label: dos\nstart=2048, size=${sectors}, type=ef\n`;
      run('sh', '-c', `printf '${table}' | sfdisk -q --no-reread --no-tell-kernel ${disk.image}`);
      const place = `offset=${2048 * 512},nodiscard`;
      run('mkfs.ext4', '-q', '-F', '-E', place, '-U', rig.uuid(), '-L', 'ESP', disk.image, '7M');
      run('blockdev', '--flushbufs', disk.device as string);
      const partition = new Partition(rig, disk.device as string, sectors);
      expect(await daemon.leftFor(partition.name, 'partition_type_unread')).toContain('open shared object file');
      daemon.setPolicy(rig.policy(`- {name: test, match: [{uuid: ["${rig.uuidPrefix}-*"], partType: ["*"]}]}`));
      await daemon.mounted(partition.name);
      daemon.setPolicy(rig.policy());
      await daemon.leftFor(partition.name, 'partition_type_unread');
      rmSync(want);
      expect(await daemon.leftFor(partition.name, 'system_partition')).toContain('0xef');
    });
  },
);

/** A PATH on which Perl gets no descriptor for a file as long as `want` exists, if it is to read a disk. */
function readersInWant(rig: Rig, want: string): string {
  const directory = rig.path('programs');
  mkdirSync(directory);
  const perl = findProgram('perl');
  const limited = `case "$*" in *sysread*) test -e ${want} && exec prlimit --nofile=3 ${perl} "$@";; esac`;
  writeFileSync(`${directory}/perl`, `#!/bin/sh\n${limited}\nexec ${perl} "$@"\n`, { mode: 0o755 });
  return `${directory}:${process.env['PATH']}`;
}
