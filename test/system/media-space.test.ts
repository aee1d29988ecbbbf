import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatStatus } from '../../src/commands/status/format.ts';
import type { Space } from '../../src/node/media/space.ts';
import type { NodeStatus } from '../../src/node/status.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('how full a disk is', [], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it('and how much of it is not yet written is in the status and the metrics', async () => {
    const daemon = await new Daemon(rig).start();
    const disk = new LoopDisk(rig, { label: 'FULL', size: 64 });
    const path = await daemon.mounted(disk.plug());
    const space = (): Promise<Space> =>
      until('the disk answers', async () => {
        const status = await daemon.status();
        return status?.mounted.find((each) => each.disk === disk.name)?.space;
      });
    const empty = await space();
    expect(empty.size).toBeGreaterThan(40 << 20);
    expect(empty.free).toBeGreaterThan(40 << 20);

    run('sh', '-c', `head -c 20M /dev/zero > ${path}/big`);
    const fuller = await until('it is fuller', async () => {
      const now = await space();
      return now.free < empty.free ? now : undefined;
    });
    expect(fuller.dirty).toBeDefined();
    run('sync', '-f', path);
    // Metadata that the journal has already may go to its place later.
    await until('next to all is written', async () => ((await space()).dirty ?? Number.NaN) < 1 << 20);
    const metrics = await (await fetch(`http://127.0.0.1:${await daemon.metricsPort()}/metrics`)).text();
    expect(metrics).toMatch(/^hotmount_media_size_bytes{class="test",name="FULL"} \d{8}$/m);
    expect(metrics).toMatch(/^hotmount_media_free_bytes{class="test",name="FULL"} \d{8}$/m);
    expect(metrics).toMatch(/^hotmount_media_dirty_bytes{class="test",name="FULL"} \d+$/m);
    expect(formatStatus((await daemon.status()) as NodeStatus, new Date())).toMatch(
      /FULL +\d+ MiB +\d+ MiB +\d+(\.\d)? K?i?B /,
    );
  });
});
