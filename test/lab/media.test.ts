import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import type { Lab } from './lab.ts';
import { startPodContainer } from './pod-container.ts';
import type { StickFileSystem } from './stick-image.ts';

const DATA = 'measured, and not to be lost\n';

/**
 * What the users' programs do: wait for a stick (its directory is there a moment before the stick is), copy the data onto it, and go
 * on writing until it is gone; then wait for the next. By descriptor: once a directory cannot be read, opening by name fails in ways
 * that say little (vfat: no space left).
 */
const COPIER = `
  while :; do
    until stick=$(echo /media/*) && grep -qF " $stick " /proc/self/mountinfo; do sleep 0.1; done
    echo "found $stick"
    cp /tmp/data "$stick/data" && sync && echo "copied to $stick"
    exec 3> "$stick/log"
    while dd if=/dev/zero of=/proc/self/fd/3 bs=64k count=4 conv=notrunc,fsync 2> /tmp/error; do echo "wrote to $stick"; done
    echo "failed on $stick: $(cat /tmp/error)"
    exec 3>&-
    until [ ! -e "$stick" ]; do sleep 0.1; done
    echo "lost $stick"
  done`;

/** A file of a stick, read after plugging it in once more, where no class matches it. */
async function readAgain(lab: Lab, image: string, volumeOf: (disk: string) => string, path: string): Promise<string> {
  const stick = await lab.plugUsbStick({ image, serial: 'READER' });
  const volume = volumeOf(await stick.disk());
  await lab.waitUntil(`[ -b /dev/${volume} ]`);
  try {
    return await lab.sh(`mkdir -p /mnt/read && mount -o ro /dev/${volume} /mnt/read && cat /mnt/read/${path}`);
  } finally {
    await lab.run('umount /mnt/read');
    await stick.pull();
  }
}

describeInLab('a container that copies data onto USB sticks', (lab) => {
  test('gets each one that its class matches, loses it when it is pulled in the midst of writing, and gets the next', {
    timeout: 10 * DEADLINE,
  }, async () => {
    const node = await startGuestNode(lab(), [{ name: 'usb', match: [{ bus: ['usb'], serial: ['TRUSTED-*'] }] }]);
    const container = await startPodContainer(lab(), `${RUN_DIR}/media/usb`);
    await container.sh(`printf '${DATA}' > /tmp/data`);
    const copier = container.spawn(COPIER);

    const stranger = await lab().plugUsbStick({
      image: await lab().makeStick({ fs: 'vfat', label: 'STRANGER' }),
      serial: 'UNKNOWN-1',
    });
    const strange = await stranger.disk();
    // A partition with vfat, the whole disk with exfat and ext4: sticks are sold as both.
    const kinds: StickFileSystem[] = ['vfat', 'exfat', 'ext4'];
    for (const [number, fs] of kinds.entries()) {
      const partitioned = fs === 'vfat';
      const volumeOf = (disk: string) => (partitioned ? `${disk}1` : disk);
      const label = fs.toUpperCase();
      const path = `/media/${label}`;
      const image = await lab().makeStick({ fs, label, partitioned });
      const stick = await lab().plugUsbStick({ image, serial: `TRUSTED-${number}` });
      const volume = volumeOf(await stick.disk());
      await copier.waitForOutput(new RegExp(`copied to ${path}\\n(wrote to ${path}\\n){3}`), DEADLINE);
      const device = await lab().sh(`cat /sys/class/block/${volume}/dev`);
      const namesIt = `grep -qs ' ${device} ' /proc/[0-9]*/mountinfo`;
      await lab().sh(namesIt);

      const place = `${RUN_DIR}/media/usb/${label}`;
      await expect
        .poll(async () => (await node.status()).mounted, { timeout: DEADLINE })
        .toMatchObject([
          {
            disk: volume,
            class: 'usb',
            fsType: fs,
            label,
            path: place,
            options: expect.arrayContaining(['nosuid', 'nodev']),
            containers: 1,
          },
        ]);
      expect((await node.status()).notMounted).toContainEqual(
        expect.objectContaining({ disk: strange, reason: 'no_class' }),
      );

      await stick.pull();
      await copier.waitForOutput(new RegExp(`failed on ${path}: .*\\nlost ${path}`), DEADLINE);
      await node.unmounted(label);
      await lab().waitUntil(`! ${namesIt} && [ ! -e /sys/class/block/${volume} ] && [ ! -e ${place} ]`);
      expect(await readAgain(lab(), image, volumeOf, 'data')).toBe(DATA.trim());
    }
    expect(copier.stdout).not.toContain('STRANGER');
    expect((await node.status()).daemon.ready).toBe(true);
  });
});
