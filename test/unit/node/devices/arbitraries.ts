import fc from 'fast-check';
import type { BlockDevice } from '../../../../src/linux/block.ts';
import type { Device, DeviceKey } from '../../../../src/linux/device.ts';
import type { DeviceClass } from '../../../../src/policy/index.ts';

export const makeClass = (name: string, match: DeviceClass['match'], more: Partial<DeviceClass> = {}): DeviceClass => ({
  name,
  match,
  access: 'rw',
  mode: 0o666,
  uid: 0,
  gid: 0,
  ...more,
});

export function makeDevice(more: Partial<Device> = {}): Device {
  const { type = 'char', major = 188, minor = 0 } = more;
  return {
    key: `${type === 'block' ? 'b' : 'c'}${major}:${minor}` as DeviceKey,
    type,
    major,
    minor,
    name: 'ttyUSB0',
    subsystem: 'tty',
    identity: '1000',
    bus: 'usb',
    vendor: 'FTDI',
    model: 'FT232R USB UART',
    serial: 'A50285BI',
    usb: '0403:6001',
    product: 'FT232R USB UART',
    interfaces: ['ff/ff/ff'],
    path: 'pci-0000:00:14.0-usb-0:1:1.0',
    part: 'if00-port0',
    port: '0000:00:14.0-usb2-1',
    block: undefined,
    ...more,
  };
}

export const makeBlock = (more: Partial<BlockDevice> = {}): BlockDevice => ({
  name: 'sdb',
  device: '8:16',
  isPartition: false,
  disk: 'sdb',
  diskSequence: 20,
  size: 64 << 20,
  readOnly: false,
  removable: true,
  bus: 'usb',
  vendor: 'ACME',
  model: 'Pocket',
  serial: 'SN1',
  usb: '0781:5567',
  product: 'Pocket',
  interfaces: ['08/06/50'],
  path: 'pci-0000:00:14.0-usb-0:2:1.0-scsi-0:0:0:0',
  holders: [],
  slaves: [],
  isSevered: false,
  partitions: [],
  ...more,
});

export const makeDisk = (more: Partial<BlockDevice> = {}): Device =>
  makeDevice({
    type: 'block',
    major: 8,
    minor: 16,
    name: 'sdb',
    subsystem: 'block',
    block: makeBlock(more),
  });

/** What hardware may say of itself: mostly alike, so that names meet, and at times anything. */
const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('', 'A', 'B', 'A_A', 'A-B', '0001') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('..', '../../etc/passwd', '/', 'x'.repeat(300), '$(reboot)', 'by-id', '\n', '\u202e'),
  },
);

const oneDevice = fc.record({
  name: fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .constantFrom('ttyUSB', 'input/event', 'bus/usb/001/00', 'cciss!c0d')
        .chain((stem) => fc.nat(9).map((n) => `${stem}${n}`)),
    },
    { weight: 1, arbitrary: word },
  ),
  bus: fc.constantFrom('usb', 'pci', 'virtual'),
  vendor: word,
  model: word,
  serial: word,
  part: fc.constantFrom('', 'if01', 'part1'),
  port: fc.constantFrom('', 'pci-1', 'pci-2', '../x'),
  type: fc.constantFrom('char', 'block') as fc.Arbitrary<'char' | 'block'>,
});

/** Devices of which no two have the same number: that is what the kernel sees to. */
export const devices: fc.Arbitrary<Device[]> = fc
  .array(oneDevice, { maxLength: 12 })
  .map((list) => list.map((device, minor) => makeDevice({ ...device, minor, identity: String(5000 + minor) })));
