import { open } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { describeWithQemu } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { hostCommand } from './host-command.ts';
import { type Lab, startLab } from './lab.ts';
import { startPodContainer } from './pod-container.ts';

const BLOCK = 1024;

/** An ext4 stick that says "panic on errors", with a directory that is an error. */
async function makeDeadlyStick(lab: Lab): Promise<string> {
  const files = { 'good.txt': 'readable', 'broken/file.txt': 'not to be found' };
  const image = await lab.makeStick({ fs: 'ext4', label: 'DEADLY', files });
  await hostCommand('tune2fs', ['-e', 'panic', image]);
  const facts = String(await hostCommand('dumpe2fs', ['-h', image]));
  expect(facts).toMatch(/Errors behavior:\s+Panic/);
  expect(facts).toMatch(new RegExp(`Block size:\\s+${BLOCK}\n`));
  const block = Number(
    String(await hostCommand('debugfs', ['-R', 'blocks /broken', image]))
      .trim()
      .split(/\s+/)[0],
  );
  expect(block).toBeGreaterThan(0);
  const file = await open(image, 'r+');
  try {
    await file.write(Buffer.alloc(BLOCK, 0xff), 0, BLOCK, block * BLOCK);
  } finally {
    await file.close();
  }
  return image;
}

describeWithQemu('a stick made to panic the kernel on errors', () => {
  test('does not when hotmount has mounted it, and does when someone else has', { timeout: 6 * DEADLINE }, async () => {
    const lab = await startLab();
    onTestFinished(() => lab.stop());
    const node = await startGuestNode(lab, [{ name: 'usb', match: [{ bus: ['usb'], serial: ['TAMED'] }] }]);
    const container = await startPodContainer(lab, `${RUN_DIR}/media/usb`);
    const image = await makeDeadlyStick(lab);
    const stick = await lab.plugUsbStick({ image, serial: 'TAMED' });
    await node.mounted('DEADLY');
    expect(await container.sh('cat /media/DEADLY/good.txt')).toBe('readable');

    await expect(container.sh('cat /media/DEADLY/broken/file.txt')).rejects.toThrow(
      /Bad message|needs cleaning|Input\/output/,
    );
    expect(await lab.sh('dmesg')).toMatch(/EXT4-fs error .*Remounting filesystem read-only/s);
    await expect(container.sh('touch /media/DEADLY/new')).rejects.toThrow(/Read-only file system/);
    expect(await container.sh('cat /media/DEADLY/good.txt')).toBe('readable');
    await expect
      .poll(async () => (await node.status()).mounted, { timeout: DEADLINE })
      .toMatchObject([{ label: 'DEADLY', containers: 1 }]);
    await stick.pull();
    await node.unmounted('DEADLY');
    await container.sh('until [ -z "$(ls /media)" ]; do sleep 0.1; done');

    // That it is deadly: another like it, which no class matches, mounted by hand.
    const other = await lab.plugUsbStick({ image: await makeDeadlyStick(lab), serial: 'WILD' });
    const disk = await other.disk();
    await expect(lab.run(`mount /dev/${disk} /mnt && cat /mnt/broken/file.txt; sleep 1000`)).rejects.toThrow(
      /guest has ended[\s\S]*Kernel panic[\s\S]*EXT4-fs/,
    );
    expect(lab.running).toBe(false);
  });
});
