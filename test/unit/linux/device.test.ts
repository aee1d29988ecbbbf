import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asKey, deviceKeys, eventKey, readDevice } from '../../../src/linux/device.ts';
import { isLeftToPrograms } from '../../../src/linux/usb.ts';

let sysfs: string;
beforeEach(() => {
  sysfs = mkdtempSync(join(tmpdir(), 'hotmount-sysfs-'));
});
afterEach(() => rmSync(sysfs, { recursive: true }));

function write(path: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(sysfs, path), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(sysfs, path, name), `${text}\n`);
}
function link(path: string, target: string): void {
  mkdirSync(dirname(join(sysfs, path)), { recursive: true });
  mkdirSync(join(sysfs, target), { recursive: true });
  symlinkSync(relative(dirname(join(sysfs, path)), join(sysfs, target)), join(sysfs, path));
}

/** An FTDI adapter as Linux 6.1 shows it. */
function plugSerial(port: string, strings: Readonly<Record<string, string>>): void {
  const hub = 'devices/pci0000:00/0000:00:14.0/usb1';
  const usb = `${hub}/1-${port}`;
  const tty = `${usb}/1-${port}:1.0/ttyUSB0/tty/ttyUSB0`;
  write(hub, { idVendor: '1d6b', idProduct: '0002', version: ' 2.00', devpath: '0' });
  write(usb, { idVendor: '0403', idProduct: '6001', devpath: port, ...strings });
  write(`${usb}/1-${port}:1.0`, {
    bInterfaceNumber: '00',
    bInterfaceClass: 'ff',
    bInterfaceSubClass: 'ff',
    bInterfaceProtocol: 'ff',
  });
  link('devices/pci0000:00/0000:00:14.0/subsystem', 'bus/pci');
  for (const at of [hub, usb, `${usb}/1-${port}:1.0`]) link(`${at}/subsystem`, 'bus/usb');
  write(`${usb}/1-${port}:1.0/ttyUSB0`, { port_number: '0' });
  write(tty, { uevent: 'MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0', dev: '188:0' });
  link(`${tty}/subsystem`, 'class/tty');
  link('dev/char/188:0', tty);
}

describe('a device in sysfs', () => {
  it('on USB is what its descriptor says', () => {
    plugSerial('2.3', { manufacturer: 'FTDI', product: 'FT232R USB UART', serial: 'A50285BI' });
    expect(readDevice('c188:0', undefined, sysfs)).toMatchObject({
      type: 'char',
      major: 188,
      minor: 0,
      name: 'ttyUSB0',
      subsystem: 'tty',
      bus: 'usb',
      vendor: 'FTDI',
      model: 'FT232R USB UART',
      serial: 'A50285BI',
      usb: '0403:6001',
      product: 'FT232R USB UART',
      interfaces: ['ff/ff/ff'],
      path: 'pci-0000:00:14.0-usb-0:2.3:1.0',
      part: 'if00-port0',
      port: '0000:00:14.0-usb2-2.3',
    });
    expect(deviceKeys(sysfs)).toEqual(['c188:0']);
  });

  it('on USB goes by its ids where it has no strings', () => {
    plugSerial('1', {});
    expect(readDevice('c188:0', undefined, sysfs)).toMatchObject({ vendor: '0403', model: '6001', serial: '' });
  });

  it('has the bus of its parent, or none', () => {
    const uart = 'devices/pnp0/00:01';
    write(`${uart}/tty/ttyS0`, { uevent: 'MAJOR=4\nMINOR=64\nDEVNAME=ttyS0' });
    link(`${uart}/subsystem`, 'bus/pnp');
    link(`${uart}/tty/ttyS0/subsystem`, 'class/tty');
    link('dev/char/4:64', `${uart}/tty/ttyS0`);
    write('devices/virtual/misc/tun', { uevent: 'MAJOR=10\nMINOR=200\nDEVNAME=net/tun' });
    link('devices/virtual/misc/tun/subsystem', 'class/misc');
    link('dev/char/10:200', 'devices/virtual/misc/tun');
    expect(readDevice('c4:64', undefined, sysfs)).toMatchObject({ bus: 'pnp', vendor: '' });
    expect(readDevice('c10:200', undefined, sysfs)).toMatchObject({ bus: 'virtual', name: 'net/tun', port: '' });
  });

  it('is not read where it is of no interest, or not there', () => {
    plugSerial('1', {});
    expect(readDevice('c188:0', ({ name }) => name === 'ttyUSB1', sysfs)).toBeUndefined();
    expect(readDevice('c188:1', undefined, sysfs)).toBeUndefined();
    expect(deviceKeys(join(sysfs, 'none'))).toEqual([]);
  });
});

/** A node of a USB interface, as Linux 6.1 shows it. */
function plugFunction(node: string, subsystem: string, files: Readonly<Record<string, string>>, number = '00'): string {
  plugSerial('2.3', { manufacturer: 'ACME', product: 'Thing', serial: 'S1' });
  const usb = 'devices/pci0000:00/0000:00:14.0/usb1/1-2.3';
  const own = `${usb}/1-2.3:1.${Number(number)}`;
  write(own, {
    bInterfaceNumber: number,
    bInterfaceClass: '03',
    bInterfaceSubClass: '01',
    bInterfaceProtocol: '01',
  });
  const path = `${own}/${subsystem}/parent/${node}`;
  write(path, { uevent: `MAJOR=13\nMINOR=64\nDEVNAME=${node}`, ...files });
  mkdirSync(join(sysfs, path, 'device/capabilities'), { recursive: true });
  link(`${path}/subsystem`, `class/${subsystem}`);
  link('dev/char/13:64', path);
  return path;
}

describe('a device that is left to programs', () => {
  const USB = 'devices/pci0000:00/0000:00:14.0/usb1/1-1';
  const isLeft = (): boolean => isLeftToPrograms(join(sysfs, USB));

  it('has no driver of the kernel for any of its interfaces', () => {
    write(USB, { idVendor: '1a6e', idProduct: '089a' });
    expect(isLeft(), 'not configured yet').toBe(false);
    for (const number of [0, 1]) write(`${USB}/1-1:1.${number}`, { bInterfaceClass: 'ff' });
    expect(isLeft()).toBe(true);
    link(`${USB}/1-1:1.0/driver`, 'bus/usb/drivers/usbfs');
    expect(isLeft(), 'a program has claimed it').toBe(true);
    link(`${USB}/1-1:1.1/driver`, 'bus/usb/drivers/usbhid');
    expect(isLeft()).toBe(false);
  });
});

describe('the part of its hardware that a node is', () => {
  const partOf = (): string | undefined => readDevice('c13:64', undefined, sysfs)?.part;

  // Captured from /sys/class/input/*/device/capabilities of real devices.
  it.each([
    ['a keyboard', { key: '1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe' }, 'event-kbd'],
    ['a mouse', { key: '1f0000 0 0 0 0', rel: '1943' }, 'event-mouse'],
    ['a tablet of a virtual machine', { key: '1f0000 0 0 0 0', rel: '100', abs: '3' }, 'event-mouse'],
    ['a game pad', { key: '7cdb000000000000 0 0 0 0', abs: '3003f' }, 'event-joystick'],
    ['a power button', { key: '10000000000000 0' }, 'event'],
    ['one that says nothing', {}, 'event'],
    ['one that lies', { key: '$(reboot)' }, 'event'],
  ])('is its kind, of %s', (_, capabilities, part) => {
    const path = plugFunction('event5', 'input', {});
    write(`${path}/device/capabilities`, capabilities);
    expect(partOf()).toBe(part);
  });

  it.each([
    ['video4', 'video4linux', { index: '1' }, 'video-index1'],
    ['controlC2', 'sound', {}, 'control'],
    ['pcmC1D0p', 'sound', {}, 'pcmD0p'],
    ['hidraw3', 'hidraw', {}, 'hidraw'],
  ])('has no number that depends on the order of plugging: %s of %s', (node, subsystem, files, part) => {
    plugFunction(node, subsystem, files);
    expect(partOf()).toBe(part);
  });

  it('names an interface that is not the first', () => {
    plugFunction('hidraw3', 'hidraw', {}, '02');
    expect(partOf()).toBe('if02-hidraw');
    expect(readDevice('c13:64', undefined, sysfs)?.interfaces).toEqual(['03/01/01']);
  });
});

describe('the key of a device', () => {
  it('is in its events', () => {
    expect(eventKey({ subsystem: 'tty', env: { MAJOR: '188', MINOR: '3' } })).toBe('c188:3');
    expect(eventKey({ subsystem: 'block', env: { MAJOR: '8', MINOR: '16' } })).toBe('b8:16');
    expect(eventKey({ subsystem: 'net', env: {} })).toBeUndefined();
    expect(eventKey({ subsystem: 'x', env: { MAJOR: '../1', MINOR: '3' } })).toBeUndefined();
  });

  it('is nothing else', () => {
    expect(asKey('c1:2')).toBe('c1:2');
    for (const text of ['', 'n3', '+usb:1-1', 'c1:2/../x', 'c1:2\n']) expect(asKey(text)).toBeUndefined();
  });
});
