import { expect, onTestFinished, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import type { StickFileSystem } from './stick-image.ts';

describeInLab('a USB stick', (lab) => {
  /** Directory of the USB device above a disk in sysfs: there, and only there, is `idVendor`. */
  const usbDevice = (disk: string) =>
    `d=$(readlink -f /sys/block/${disk}); until [ -e "$d/idVendor" ]; do d=\${d%/*}; done`;

  test.for<[StickFileSystem, boolean]>([
    ['vfat', true],
    ['exfat', false],
    ['ext4', false],
  ])('with %s (partitioned: %s) is seen on the USB bus and mounted', async ([fs, partitioned]) => {
    const files = { 'hello.txt': 'from the stick', 'sub/dir/deep.txt': 'deep' };
    const image = await lab().makeStick({ fs, label: 'DATA', files, partitioned });
    const stick = await lab().plugUsbStick({ image, serial: `SN-${fs}`, vendor: 'ACME', model: 'Pocket 3000' });
    const disk = await stick.disk();
    const facts = await lab().sh(
      `${usbDevice(disk)}; cat "$d/serial" /sys/block/${disk}/device/{vendor,model} /sys/block/${disk}/removable`,
    );
    expect(facts.split('\n').map((line) => line.trim())).toEqual([`SN-${fs}`, 'ACME', 'Pocket 3000', '1']);

    const volume = partitioned ? `${disk}1` : disk;
    await lab().waitUntil(`[ -b /dev/${volume} ]`);
    expect(await lab().sh(`blkid -p -o value -s LABEL -s TYPE /dev/${volume}`)).toBe(`DATA\n${fs}`);
    const read = await lab().sh(
      `mkdir -p /mnt/stick && mount -t ${fs} /dev/${volume} /mnt/stick && cat /mnt/stick/hello.txt /mnt/stick/sub/dir/deep.txt; umount /mnt/stick`,
    );
    expect(read).toBe('from the stickdeep');
    await stick.pull();
    await lab().waitUntil(`[ ! -e /sys/block/${disk} ] && [ ! -e /dev/${volume} ]`);
  });

  test.for<StickFileSystem>(['vfat', 'exfat', 'ext4'])(
    'with %s, pulled while it is mounted and written to, gives I/O errors, and the guest lives on',
    async (fs) => {
      const image = await lab().makeStick({ fs });
      const stick = await lab().plugUsbStick({ image });
      const disk = await stick.disk();
      await lab().sh(`mkdir -p /mnt/pulled && mount /dev/${disk} /mnt/pulled`);
      onTestFinished(async () => void (await lab().run('umount -l /mnt/pulled')));
      // By descriptor: once the directory cannot be read, opening by name fails in ways that say little (vfat: no space left).
      const writer = lab().spawn(
        `head -c 1M /dev/zero > /mnt/pulled/file; exec 3<> /mnt/pulled/file
         while dd if=/dev/zero of=/dev/fd/3 bs=64k count=4 conv=notrunc,fsync status=none; do echo wrote; done`,
      );
      await writer.waitForOutput(/(wrote\n){3}/);
      await stick.pull();
      await writer.exited;
      expect(writer.stderr).toMatch(/Input\/output error|Read-only file system|No such device/);
      await lab().waitUntil(`[ ! -e /sys/block/${disk} ]`);
      await lab().sh('umount -l /mnt/pulled');
      expect(await lab().sh('echo alive')).toBe('alive');
    },
  );

  test('keeps what was synced to it when it is pulled, and can be plugged in again at once', async () => {
    const image = await lab().makeStick({ fs: 'ext4' });
    const first = await lab().plugUsbStick({ image });
    await lab().sh(
      `mount /dev/${await first.disk()} /mnt && echo kept > /mnt/kept && sync -f /mnt/kept && umount -l /mnt`,
    );
    await first.pull();
    const second = await lab().plugUsbStick({ image });
    expect(await lab().sh(`mount /dev/${await second.disk()} /mnt && cat /mnt/kept; umount /mnt`)).toBe('kept');
    await second.pull();
  });

  test('is told from a second one by its serial number, and may be fixed or write-protected', async () => {
    const a = await lab().plugUsbStick({ image: await lab().makeStick({ fs: 'vfat' }), serial: 'A', removable: false });
    const b = await lab().plugUsbStick({ image: await lab().makeStick({ fs: 'vfat' }), serial: 'B', readOnly: true });
    const facts = async (disk: string) =>
      await lab().sh(`${usbDevice(disk)}; cat "$d/serial" /sys/block/${disk}/{removable,ro}`);
    expect(await facts(await a.disk())).toBe('A\n0\n0');
    expect(await facts(await b.disk())).toBe('B\n1\n1');
    await a.pull();
    await a.pull();
    await b.pull();
  });

  test('that is a card reader loses its medium and stays', async () => {
    const reader = await lab().plugUsbStick({ image: await lab().makeStick({ fs: 'vfat', label: 'CARD1' }) });
    const disk = await reader.disk();
    await reader.ejectMedium();
    expect(await lab().run(`head -c 1 /dev/${disk}`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No medium'),
    });
    expect(await lab().sh(`cat /sys/block/${disk}/size`)).toBe('0');
    await reader.insertMedium(await lab().makeStick({ fs: 'vfat', label: 'CARD2' }));
    expect(await lab().sh(`blkid -p -o value -s LABEL /dev/${disk}`)).toBe('CARD2');
    await reader.pull();
  });

  test('that qemu refuses leaves nothing plugged in', async () => {
    await expect(lab().plugUsbStick({ image: '/nowhere.img' })).rejects.toThrow(/nowhere.img/);
    const image = await lab().makeStick({ fs: 'vfat' });
    await expect(lab().plugUsbStick({ image, vendor: 'far too long' })).rejects.toThrow(/8 characters at most/);
    const first = await lab().plugUsbStick({ image });
    await expect(lab().plugUsbStick({ image })).rejects.toThrow(/lock/); // one image, two sticks
    await first.pull();
    const second = await lab().plugUsbStick({ image });
    expect(await second.disk()).toMatch(/^sd[a-z]$/);
    expect(await lab().sh('grep -l 46f4 /sys/bus/usb/devices/*/idVendor | wc -l')).toBe('1');
    await second.pull();
  });
});

describeInLab('a USB serial adapter', (lab) => {
  test('is /dev/ttyUSB0 with its serial number, and carries bytes both ways', async () => {
    const adapter = await lab().plugUsbSerial({ serial: 'FT123' });
    expect(await adapter.tty()).toBe('ttyUSB0');
    expect(await lab().sh('cat "$(readlink -f /sys/class/tty/ttyUSB0/device)"/../../serial')).toBe('FT123');
    await lab().sh('stty -F /dev/ttyUSB0 raw -echo');
    const heard = new Promise<string>((resolve) => adapter.wire.once('data', (data) => resolve(data.toString())));
    const reader = lab().spawn('exec 3<>/dev/ttyUSB0; echo listening; head -n 1 <&3');
    await reader.waitForOutput(/listening/);
    await lab().sh('echo ping > /dev/ttyUSB0');
    expect(await heard).toBe('ping\n');
    adapter.wire.write('pong\n');
    await reader.waitForOutput(/pong/);
    await adapter.pull();
    await lab().waitUntil('[ ! -e /dev/ttyUSB0 ]');
  });
});
