import { afterEach, beforeEach, expect, it } from 'vitest';
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
