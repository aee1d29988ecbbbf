import { truncateSync, writeFileSync } from 'node:fs';
import { test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, startGuestNode } from './guest-node.ts';

describeInLab('a blank stick that an image is written to, on a node without udevd', (lab) => {
  test('has the partition mounted that came with the image', { timeout: 4 * DEADLINE }, async () => {
    const node = await startGuestNode(lab(), [{ name: 'usb', match: [{ bus: ['usb'] }] }]);
    const image = `${lab().directory}/blank.img`;
    writeFileSync(image, '');
    truncateSync(image, 49 << 20);
    const stick = await lab().plugUsbStick({ image });
    const disk = await stick.disk();
    await node.process.waitForOutput(new RegExp(`"disk":"${disk}","reason":"no_file_system"`), DEADLINE);
    await lab().sh(
      `LABEL=WRITTEN sh -e test/media/fat32.sh /tmp/image && dd if=/tmp/image of=/dev/${disk} bs=1M; rm /tmp/image`,
      {
        timeoutMs: DEADLINE,
      },
    );
    await node.mounted('WRITTEN');
    await stick.pull();
    await node.unmounted('WRITTEN');
  });
});
