import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';

describeInLab('a card pulled from a reader that stays', (lab) => {
  test.each([
    { partitioned: true, what: 'with a partition, which the kernel keeps while it is mounted' },
    { partitioned: false, what: 'without partitions' },
  ])(
    '$what: is gone from the container that reads it',
    {
      timeout: 5 * DEADLINE,
    },
    async ({ partitioned }) => {
      // As udev has the kernel ask every reader whether its card is still there (60-block.rules).
      await lab().sh('echo 1000 > /sys/module/block/parameters/events_dfl_poll_msecs');
      const node = await startGuestNode(lab(), [{ name: 'card', match: [{ bus: ['usb'] }] }]);
      const container = await startPodContainer(lab(), `${RUN_DIR}/media/card`);
      const image = await lab().makeStick({
        fs: 'ext4',
        label: 'CARD',
        files: { big: Buffer.alloc(4 << 20, 'x') },
        partitioned,
      });
      const reader = await lab().plugUsbStick({ image });
      await node.mounted('CARD');
      const reading = container.spawn(
        `exec 4< /media/CARD/big; echo reading
       while dd if=/proc/self/fd/4 of=/dev/null bs=1M iflag=direct 2> /dev/null; do :; done; echo ended; sleep 100000`,
      );
      await reading.waitForOutput(/reading/, DEADLINE);

      await reader.ejectMedium();
      await node.unmounted('CARD');
      await reading.waitForOutput(/ended/, DEADLINE);
      await container.sh('until [ -z "$(ls /media)" ]; do sleep 0.1; done');
      await expect.poll(async () => (await node.status()).mounted, { timeout: DEADLINE }).toEqual([]);

      await reader.pull();
    },
  );
});
