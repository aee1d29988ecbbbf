import { describe, expect, it } from 'vitest';
import { classify } from '../../../../src/node/devices/classify.ts';
import { asksUdev, isOfInterest, subsystemsOf } from '../../../../src/node/devices/match.ts';
import type { DeviceMatch } from '../../../../src/policy/index.ts';
import { makeClass, makeDevice, makeDisk } from './arbitraries.ts';

const NO_PROPERTIES: ReadonlyMap<string, string> = new Map();

/** The classes, or the reason. */
function outcome(
  device: ReturnType<typeof makeDevice>,
  match: DeviceMatch,
  {
    properties = NO_PROPERTIES,
    bootSequence = 10,
    use = () => undefined,
  }: Partial<Parameters<typeof classify>[1]> = {},
): string {
  const classification = classify(device, { classes: [makeClass('test', [match])], bootSequence, properties, use });
  if (classification.kind === 'matched') return classification.classes.map(({ name }) => name).join();
  return classification.finding?.reason ?? 'none';
}

describe('a device class', () => {
  const properties = new Map([
    ['ID_MODEL', 'FT232R'],
    ['ID_EMPTY', ''],
  ]);
  it.each<[string, DeviceMatch, string]>([
    ['its subsystem', { subsystem: ['tty'] }, 'test'],
    ['another subsystem', { subsystem: ['block'] }, 'none'],
    ['its name', { devname: ['ttyUSB*'] }, 'test'],
    ['all but its name', { devname: ['!ttyUSB*'] }, 'none'],
    [
      'its bus, vendor, model and serial number',
      { bus: ['usb'], vendor: ['FTDI'], model: ['FT*'], serial: ['A5*'] },
      'test',
    ],
    ['a serial number of another', { bus: ['usb'], serial: ['B*'] }, 'none'],
    ['its USB id', { usb: ['0403:6001'] }, 'test'],
    ['the vendor half of it', { usb: ['0403:*'] }, 'test'],
    ['another USB id', { usb: ['0403:6010'] }, 'none'],
    ['every USB id but its own', { usb: ['!0403:6001'] }, 'none'],
    ['its product string', { product: ['FT232R*'] }, 'test'],
    ['the class of its interface', { interface: ['ff/*'] }, 'test'],
    ['the class of another interface', { interface: ['03/*'] }, 'none'],
    ['every interface but its own', { interface: ['!ff/*'] }, 'none'],
    ['its port', { path: ['pci-0000:00:14.0-usb-0:1'] }, 'test'],
    ['its port, as udev has it of its interface', { path: ['pci-0000:00:14.0-usb-0:1:1.0'] }, 'test'],
    ['its socket on whatever controller', { path: ['*-usb-0:1'] }, 'test'],
    ['a port of a hub in its port', { path: ['*-usb-0:1.1'] }, 'none'],
    ['every port but its own', { path: ['!*-usb-0:1'] }, 'none'],
    ['a property', { properties: { ID_MODEL: ['FT*'] } }, 'test'],
    ['two properties, of which one is otherwise', { properties: { ID_MODEL: ['FT*'], ID_EMPTY: ['x'] } }, 'none'],
    ['a property that it does not have', { properties: { ID_SERIAL: ['*'] } }, 'none'],
    ['everything but a value of a property that it does not have', { properties: { ID_SERIAL: ['!x'] } }, 'none'],
    ['what only disks are', { removable: true }, 'none'],
    ['what only disks have', { subsystem: ['tty'], minSize: 0 }, 'none'],
  ])('that goes by %s', (_, match, expected) => expect(outcome(makeDevice(), match, { properties })).toBe(expected));

  it.each<[string, DeviceMatch, Parameters<typeof makeDisk>[0], string]>([
    ['a disk that can be taken out', { bus: ['usb'] }, {}, 'test'],
    ['a fixed disk that was there before', { bus: ['usb'] }, { removable: false, diskSequence: 3 }, 'fixed_device'],
    ['the same, where it is meant', { removable: false }, { removable: false, diskSequence: 3 }, 'test'],
    ['a fixed disk that has come since', { bus: ['usb'] }, { removable: false }, 'test'],
    ['one without a medium', { bus: ['usb'] }, { size: 0 }, 'no_medium'],
    ['one that is too small', { minSize: 65 << 20 }, {}, 'none'],
    ['one that is not too large', { maxSize: 64 << 20 }, {}, 'test'],
  ])('and %s', (_, match, disk, expected) => expect(outcome(makeDisk(disk), match)).toBe(expected));

  it('never has a disk that the node uses', () => {
    const use = { kind: 'mounted', device: 'sdb1', path: '/' } as const;
    expect(outcome(makeDisk(), { devname: ['*'] }, { use: () => use })).toBe('in_use_by_node');
    const elsewhere = { ...use, pid: 1000 };
    expect(outcome(makeDisk(), { devname: ['*'] }, { use: () => elsewhere })).toBe('in_use_by_container');
    expect(outcome(makeDisk(), { devname: ['*'] }, { use: () => ({ kind: 'swap', device: 'sdb2' }) })).toBe(
      'in_use_as_swap',
    );
    expect(outcome(makeDisk(), { devname: ['*'] }, { use: () => ({ kind: 'holders', holders: ['dm-0'] }) })).toBe(
      'built_on',
    );
    expect(outcome(makeDisk(), { devname: ['*'] }, { use: () => 'unclear' })).toBe('unclear_whether_in_use');
  });
});

describe('what classes go by', () => {
  const serial = makeClass('serial', [{ subsystem: ['tty'], devname: ['ttyUSB*'] }]);
  it('decides which events are heard', () => {
    expect(subsystemsOf([serial, makeClass('hid', [{ subsystem: ['hidraw'] }])])).toEqual(['tty', 'hidraw']);
    expect(subsystemsOf([serial, makeClass('any', [{ bus: ['usb'] }])])).toBeUndefined();
    expect(subsystemsOf([makeClass('glob', [{ subsystem: ['t*'] }])])).toBeUndefined();
    expect(subsystemsOf([makeClass('not', [{ subsystem: ['!tty'] }])])).toBeUndefined();
    expect(subsystemsOf([])).toEqual([]);
  });

  it('decides which devices are looked at', () => {
    expect(isOfInterest([serial], { subsystem: 'tty', name: 'ttyUSB7' })).toBe(true);
    expect(isOfInterest([serial], { subsystem: 'tty', name: 'tty7' })).toBe(false);
    expect(isOfInterest([serial], { subsystem: 'usb', name: 'ttyUSB7' })).toBe(false);
    expect(asksUdev([serial])).toBe(false);
    expect(asksUdev([makeClass('udev', [{ properties: { ID_BUS: ['usb'] } }])])).toBe(true);
  });
});
