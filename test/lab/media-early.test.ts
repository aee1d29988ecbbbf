import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';

const PLACE = `${RUN_DIR}/media/usb`;

describeInLab('a USB stick pulled before it is mounted', (lab) => {
  test('leaves nothing, whenever that was, and the next one is mounted', { timeout: 5 * DEADLINE }, async () => {
    const node = await startGuestNode(lab(), [{ name: 'usb', match: [{ bus: ['usb'] }] }]);
    const container = await startPodContainer(lab(), PLACE);
    const running = (program: string) => `grep -qsx ${program} /proc/[0-9]*/comm`;
    const mounted = (label: string) => `grep -q ' ${PLACE}/${label} ' /proc/self/mountinfo`;
    // The later moments may be over before they are seen; then it is pulled when it is mounted.
    const moments = {
      PLUGGED: 'true',
      PROBED: `until ${running('blkid')} || ${mounted('PROBED')}; do :; done`,
      MOUNTING: `until ${running('mount')} || ${mounted('MOUNTING')}; do :; done`,
      MOUNTED: `until ${mounted('MOUNTED')}; do :; done`,
    };
    for (const [label, moment] of Object.entries(moments)) {
      const stick = await lab().plugUsbStick({ image: await lab().makeStick({ fs: 'ext4', label }) });
      const disk = await stick.disk();
      await lab().sh(moment, { timeoutMs: DEADLINE });
      await stick.pull();
      await lab().waitUntil(`[ ! -e /sys/block/${disk} ]`, { timeoutMs: DEADLINE });
    }

    const image = await lab().makeStick({ fs: 'vfat', label: 'LAST', files: { 'hello.txt': 'here' } });
    const last = await lab().plugUsbStick({ image });
    await node.mounted('LAST');
    expect(await container.sh('cat /media/LAST/hello.txt')).toBe('here');
    await lab().waitUntil(`[ "$(ls ${PLACE})" = LAST ] && [ "$(ls ${RUN_DIR}/media-ro/usb)" = LAST ]`, {
      timeoutMs: DEADLINE,
    });
    expect(await container.sh('ls /media')).toBe('LAST');
    const told = async () => {
      const { mounted: disks, notMounted, working } = await node.status();
      const failed = notMounted.filter(({ kind }) => kind === 'failed');
      return { disks: disks.map(({ disk, label }) => [disk, label]), failed, working };
    };
    const disk = await last.disk();
    await expect.poll(told, { timeout: DEADLINE }).toEqual({ disks: [[disk, 'LAST']], failed: [], working: [] });
    await last.pull();
  });
});
