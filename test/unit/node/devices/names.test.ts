import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byIdNames, nodeName } from '../../../../src/node/devices/names.ts';
import { devices, makeDevice } from './arbitraries.ts';

const byId = (...list: readonly ReturnType<typeof makeDevice>[]): Record<string, string> =>
  Object.fromEntries([...byIdNames(list)].map(([name, { key }]) => [name, key]));

describe('the name of a node', () => {
  it.each([
    ['ttyUSB0', 'ttyUSB0'],
    ['bus/usb/001/002', 'bus/usb/001/002'],
    ['input/event3', 'input/event3'],
    ['cciss/c0d0p1', 'cciss/c0d0p1'],
    ['by-id/x', '_char-188-0'],
    ['../../etc/passwd', '_char-188-0'],
    ['a//b', '_char-188-0'],
    ['.hidden', '_char-188-0'],
    ['a\nb', '_char-188-0'],
    ['', '_char-188-0'],
  ])('of %j is %s', (name, expected) => expect(nodeName(makeDevice({ name }))).toBe(expected));

  it('is below its class, whatever the kernel calls the device, and no other device’s', () => {
    fc.assert(
      fc.property(devices, (list) => {
        const distinct = list.filter(({ name }, i) => list.findIndex((other) => other.name === name) === i);
        const names = distinct.map((device) => nodeName(device));
        expect(new Set(names).size).toBe(names.length);
        for (const name of names) {
          expect(name).toMatch(/^[A-Za-z0-9_][-\w.+:@=,/]*$/);
          expect(name.split('/').every((part) => /^[A-Za-z0-9_]/.test(part))).toBe(true);
          expect(name.startsWith('by-id')).toBe(false);
        }
      }),
    );
  });
});

describe('the name of a link by id', () => {
  it('is what the hardware says of itself, in whichever port', () => {
    expect(byId(makeDevice())).toEqual({ 'usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0': 'c188:0' });
    expect(byId(makeDevice({ port: '0000:00:14.0-usb2-7.1' }))).toEqual(byId(makeDevice()));
  });

  it.each([
    // As `ls /dev/serial/by-id` shows them where udev runs.
    [
      { vendor: 'ITead', model: 'Sonoff Zigbee 3.0 USB Dongle Plus', serial: '6aa1f3b57c09ec11b5a327ad8ffc4a7d' },
      'usb-ITead_Sonoff_Zigbee_3.0_USB_Dongle_Plus_6aa1f3b57c09ec11b5a327ad8ffc4a7d-if00-port0',
    ],
    [
      { vendor: 'dresden elektronik ingenieurtechnik GmbH', model: 'ConBee II', serial: 'DE2474217', part: 'if00' },
      'usb-dresden_elektronik_ingenieurtechnik_GmbH_ConBee_II_DE2474217-if00',
    ],
    [
      { vendor: '  ACME ', model: 'a / b (c)', serial: '00:11#22', part: 'if02-port1' },
      'usb-ACME_a___b__c__00:11#22-if02-port1',
    ],
  ])('is that of udev, so that configurations stay valid: %j', (words, name) => {
    expect(byId(makeDevice(words))).toEqual({ [name]: 'c188:0' });
  });

  it('tells the parts of one adapter apart', () => {
    const [first, second] = [makeDevice(), makeDevice({ minor: 1, part: 'if01-port0' })];
    expect(byId(first, second)).toEqual({
      'usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0': 'c188:0',
      'usb-FTDI_FT232R_USB_UART_A50285BI-if01-port0': 'c188:1',
    });
  });

  it('has the port in it where a serial number is missing, or is another’s too: for both of them', () => {
    const one = makeDevice({ serial: '0001', port: 'pci-1' });
    const two = makeDevice({ minor: 1, serial: '0001', port: 'pci-2' });
    const names = {
      'usb-FTDI_FT232R_USB_UART_0001-pci-1-if00-port0': 'c188:0',
      'usb-FTDI_FT232R_USB_UART_0001-pci-2-if00-port0': 'c188:1',
    };
    expect(byId(one, two)).toEqual(names);
    expect(byId(two, one)).toEqual(names);
    expect(byId(makeDevice({ serial: '', port: 'pci-1' }))).toEqual({
      'usb-FTDI_FT232R_USB_UART-pci-1-if00-port0': 'c188:0',
    });
  });

  it('is not for a device to choose that calls itself like another', () => {
    const real = makeDevice();
    const liar = makeDevice({ minor: 1, vendor: 'FTDI_FT232R', model: 'USB', serial: 'UART_A50285BI', port: 'pci-2' });
    const names = byId(real, liar);
    expect(names['usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0'], 'neither has it').toBeUndefined();
    expect(Object.values(names).sort()).toEqual(['c188:0', 'c188:1']);
  });

  it('is none for a device that says nothing of itself', () => {
    expect(byId(makeDevice({ vendor: '', model: '', serial: '' }))).toEqual({});
    expect(byId(makeDevice({ vendor: '\u202e', model: '/', serial: '..' }))).toEqual({});
  });

  it('is safe, one device’s, and the same in whatever order they were plugged in', () => {
    fc.assert(
      fc.property(
        devices.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        ([list, shuffled]) => {
          const names = byIdNames(list);
          expect(Object.fromEntries(byIdNames(shuffled))).toEqual(Object.fromEntries(names));
          expect(new Set(names.values()).size).toBe(names.size);
          for (const name of names.keys()) {
            expect(name).toMatch(/^[\p{L}\p{N}][\p{L}\p{N}\p{M}._+@=:#-]*$/u);
            expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
          }
        },
      ),
    );
  });
});
