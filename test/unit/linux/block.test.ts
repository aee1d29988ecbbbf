import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blockDeviceNames, partitionsOf, readBlockDevice } from '../../../src/linux/block.ts';

/** Directories and attributes as the kernel lays them out, in a directory of our own: the bus cannot be plugged in everywhere. */
describe('readBlockDevice, on a tree like /sys', () => {
  let sysfs: string;
  const write = (path: string, attributes: Record<string, string>): void => {
    mkdirSync(join(sysfs, path), { recursive: true });
    for (const [name, value] of Object.entries(attributes)) {
      mkdirSync(dirname(join(sysfs, path, name)), { recursive: true });
      writeFileSync(join(sysfs, path, name), `${value}\n`);
    }
    const name = path.split('/').at(-1) as string;
    if ('dev' in attributes) symlinkSync(join(sysfs, path), join(sysfs, 'class/block', name));
  };
  const USB = 'devices/pci0000:00/0000:00:14.0/usb1/1-2';
  const STICK = `${USB}/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb`;

  beforeAll(() => {
    sysfs = mkdtempSync(join(tmpdir(), 'hotmount-sysfs-'));
    mkdirSync(join(sysfs, 'class/block'), { recursive: true });
    write(USB, {
      idVendor: '0951',
      idProduct: '1666',
      serial: '001CC0EC',
      manufacturer: 'Kingston',
      product: 'DataTraveler',
    });
    write(STICK, {
      dev: '8:16',
      size: '60000',
      ro: '0',
      removable: '1',
      diskseq: '17',
      'device/vendor': 'Kingston ',
      'device/model': 'DT 101 G2       ',
    });
    write(`${STICK}/sdb1`, { dev: '8:17', size: '59000', ro: '1', partition: '1' });
    for (const path of [`${STICK}/slaves`, `${STICK}/sdb1/holders/dm-0`])
      mkdirSync(join(sysfs, path), { recursive: true });
    write('devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda', {
      dev: '8:0',
      size: '1000',
      ro: '0',
      removable: '0',
      diskseq: '1',
    });
    write('devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1', {
      dev: '259:0',
      size: '1000',
      removable: '0',
      'device/serial': 'S4',
    });
    write('devices/platform/mmc0/mmc_host/mmc0/mmc0:0001/block/mmcblk0', {
      dev: '179:0',
      size: '1000',
      removable: '0',
      'device/name': 'SD16G',
      'device/type': 'SD',
    });
    write('devices/pci0000:00/0000:00:02.0/virtio1/block/vda', {
      dev: '254:0',
      size: '1000',
      removable: '0',
      serial: 'disk1',
    });
    write('devices/virtual/block/empty', { dev: '7:8', size: '0', removable: '1' });
    write('devices/virtual/block/empty/empty1', { dev: '7:9', size: '59000', partition: '1' });
    write('devices/virtual/block/loop7', { dev: '7:7', size: '0', removable: '0' });
    write('devices/virtual/block/dm-0', { dev: '253:0', size: '1', removable: '0' });
    write('devices/pci0000:00/0000:00:1c.0/0000:05:00.0/block/card', { dev: '250:0', size: '1', removable: '0' });
    write('devices/pci0000:00/0000:00:1c.0', { removable: 'removable' });
  });
  afterAll(() => rmSync(sysfs, { recursive: true }));

  it('takes a disk whose attributes cannot be read neither for gone nor for one without a medium', () => {
    for (const name of ['dev', 'size', 'diskseq']) {
      const disk = `nvme9n1-${name}`;
      write(`devices/pci0000:00/0000:02:00.0/nvme/nvme9/${disk}`, { dev: '259:9', size: '1000', diskseq: '9' });
      const attribute = join(sysfs, 'class/block', disk, name);
      rmSync(attribute);
      mkdirSync(attribute);
      expect(() => readBlockDevice(disk, sysfs), name).toThrow('EISDIR');
      rmSync(join(sysfs, 'class/block', disk));
    }
  });

  it('describes a partition by its own size and its disk’s identity', () => {
    expect(readBlockDevice('sdb1', sysfs)).toEqual({
      name: 'sdb1',
      device: '8:17',
      isPartition: true,
      disk: 'sdb',
      diskSequence: 17,
      size: 59_000 * 512,
      readOnly: true,
      removable: true,
      bus: 'usb',
      vendor: 'Kingston',
      model: 'DT 101 G2',
      serial: '001CC0EC',
      usb: '0951:1666',
      product: 'DataTraveler',
      interfaces: [],
      path: '',
      holders: ['dm-0'],
      slaves: [],
      isSevered: false,
      partitions: [],
    });
  });

  it('knows a disk’s partitions', () => {
    expect(readBlockDevice('sdb', sysfs)).toMatchObject({ isPartition: false, disk: 'sdb', partitions: ['sdb1'] });
    expect(partitionsOf('sdb', sysfs)).toEqual(['sdb1']);
    expect(partitionsOf('sdz', sysfs)).toEqual([]);
  });

  it.each([
    ['sda', { bus: 'ata', removable: false }],
    ['nvme0n1', { bus: 'nvme', serial: 'S4' }],
    ['mmcblk0', { bus: 'mmc', model: 'SD16G', removable: true }],
    ['vda', { bus: 'virtio', serial: 'disk1' }],
    ['loop7', { bus: 'loop', size: 0 }],
    // In use when the card was pulled.
    ['empty1', { isPartition: true, size: 0 }],
    ['dm-0', { bus: 'dm' }],
    ['card', { removable: true }],
  ])('knows what %s is', (name, expected) => {
    expect(readBlockDevice(name, sysfs)).toMatchObject(expected);
  });

  it('tells what is built on a disk that has gone, or has no medium, also with something in between', () => {
    const build = (name: string, slave: string): void => {
      write(`devices/virtual/block/${name}`, { dev: `253:${name.slice(3)}`, size: '1' });
      mkdirSync(join(sysfs, `devices/virtual/block/${name}/slaves`));
      symlinkSync(join(sysfs, slave), join(sysfs, `devices/virtual/block/${name}/slaves/${slave.split('/').at(-1)}`));
    };
    build('dm-1', `${STICK}/sdb1`);
    build('dm-2', `${STICK}/sdb9`);
    build('dm-3', 'devices/virtual/block/empty/empty1');
    build('dm-4', 'devices/virtual/block/dm-2');
    const severed = ['dm-1', 'dm-2', 'dm-3', 'dm-4'].filter((name) => readBlockDevice(name, sysfs)?.isSevered);
    expect(severed).toEqual(['dm-2', 'dm-3', 'dm-4']);
  });

  it('finds nothing where there is no such device', () => {
    expect(readBlockDevice('sdz', sysfs)).toBeUndefined();
    expect(blockDeviceNames(sysfs)).toContain('sdb1');
  });
});
