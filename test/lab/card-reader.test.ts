import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, startGuestNode } from './guest-node.ts';

describeInLab('a card reader that is always plugged in, on a node without udevd', (lab) => {
  test('has its cards mounted when they are pushed in, with and without a partition table', {
    timeout: 6 * DEADLINE,
  }, async () => {
    await lab().sh('echo 0 > /sys/module/block/parameters/events_dfl_poll_msecs');
    const [first, whole, partitioned] = [
      await lab().makeStick({ fs: 'vfat', label: 'FIRST' }),
      await lab().makeStick({ fs: 'ext4', label: 'WHOLE' }),
      await lab().makeStick({ fs: 'vfat', label: 'PARTS', partitioned: true }),
    ];
    const reader = await lab().plugUsbStick({ image: first });
    const disk = await reader.disk();
    await reader.ejectMedium();
    const node = await startGuestNode(lab(), [{ name: 'card', match: [{ bus: ['usb'], minSize: '1Mi' }] }]);
    const isEmpty = async (): Promise<void> => {
      const reason = async () => (await node.status()).notMounted.find((entry) => entry.disk === disk)?.reason;
      await expect.poll(reason, { timeout: DEADLINE }).toBe('no_medium');
    };
    await isEmpty();

    await reader.insertMedium(whole);
    await node.mounted('WHOLE');
    await reader.ejectMedium();
    await node.unmounted('WHOLE');
    await reader.insertMedium(partitioned);
    await node.mounted('PARTS');
    await reader.ejectMedium();
    await node.unmounted('PARTS');
    await isEmpty();
    // Whoever opens an empty drive must not be answered by an event, for that would go round for ever.
    const events = 'cat /sys/kernel/uevent_seqnum';
    await lab().waitUntil(`before=$(${events}); sleep 3; [ $(${events}) = $before ]`);
    await reader.pull();
  });
});
