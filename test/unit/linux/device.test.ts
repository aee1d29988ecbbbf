import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asKey, deviceKeys, eventKey, readDevice } from '../../../src/linux/device.ts';

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
  write(`${usb}/1-${port}:1.0`, { bInterfaceNumber: '00' });
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
      part: '',
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
