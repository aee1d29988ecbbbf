import { describe, expect, it } from 'vitest';
import { desire } from '../../../../src/node/devices/desired.ts';
import type { DeviceClass } from '../../../../src/policy/index.ts';
import { makeClass, makeDevice } from './arbitraries.ts';

/** The names of one device's node and links in a class, by the class. */
function namesIn(deviceClass: DeviceClass, name: string, links: readonly string[] = []): Record<string, string> {
  const { nodes, links: all } = desire([{ device: makeDevice({ name, serial: '' }), classes: [deviceClass], links }]);
  const ours = [...all].filter(([path]) => !/by-id\/usb-FTDI_FT232R_USB_UART/.test(path));
  return Object.fromEntries([...[...nodes.keys()].map((path) => [path, ''] as const), ...ours]);
}

describe('the nodes of a class', () => {
  it.each<[string, DeviceClass['match'], string, string]>([
    ['of USB devices', [{ devname: ['bus/usb/*'] }], 'bus/usb/001/004', '001/004'],
    ['of USB devices by their subsystem', [{ subsystem: ['usb'] }], 'bus/usb/001/004', '001/004'],
    ['of one subsystem, by several items', [{ subsystem: ['input'] }, { devname: ['input/js*'] }], 'input/js0', 'js0'],
    ['of sound cards', [{ subsystem: ['sound'], bus: ['usb'] }], 'snd/controlC1', 'controlC1'],
    ['of graphics cards', [{ devname: ['dri/card*', 'dri/renderD*'] }], 'dri/renderD128', 'renderD128'],
    ['of the tunnel', [{ subsystem: ['misc'], devname: ['net/tun'] }], 'net/tun', 'tun'],
    ['of DVB adapters', [{ devname: ['dvb/adapter*/frontend*'] }], 'dvb/adapter0/frontend0', 'adapter0/frontend0'],
    ['of one adapter', [{ devname: ['dvb/adapter0/*'] }], 'dvb/adapter0/frontend0', 'frontend0'],
    ['with an exclusion', [{ devname: ['input/*', '!input/mice'] }], 'input/event0', 'event0'],
    ['of two directories', [{ subsystem: ['input'] }, { subsystem: ['sound'] }], 'input/event0', 'input/event0'],
    ['of any device', [{ bus: ['usb'] }], 'input/event0', 'input/event0'],
    ['of devices in /dev itself', [{ subsystem: ['tty'] }], 'ttyUSB0', 'ttyUSB0'],
  ])('%s are named without the directory that all are in', (_, match, name, expected) => {
    expect(Object.keys(namesIn(makeClass('c', match), name))).toEqual([`c/${expected}`]);
  });

  it('are named without the directory that the class says, or with all of it', () => {
    const match = [{ subsystem: ['usb'] }];
    expect(namesIn(makeClass('c', match, { directory: '' }), 'bus/usb/001/004')).toEqual({ 'c/bus/usb/001/004': '' });
    expect(namesIn(makeClass('c', match, { directory: 'bus' }), 'bus/usb/001/004')).toEqual({ 'c/usb/001/004': '' });
  });

  it('never take the name of another', () => {
    const deviceClass = makeClass('c', [{ bus: ['usb'] }], { directory: 'input' });
    const devices = [makeDevice({ name: 'event0' }), makeDevice({ name: 'input/event0', minor: 1 })];
    const { nodes } = desire(devices.map((device) => ({ device, classes: [deviceClass], links: [] })));
    expect([...nodes.keys()]).toEqual(['c/event0', 'c/_char-188-1']);
  });
});

describe('the links of udev', () => {
  const serial = makeClass('serial', [{ subsystem: ['tty'] }]);

  it('are in the class as they are below /dev', () => {
    expect(namesIn(serial, 'ttyUSB0', ['serial/by-id/usb-ACME:1-if00', 'dongle'])).toEqual({
      'serial/ttyUSB0': '',
      'serial/serial/by-id/usb-ACME:1-if00': '../../ttyUSB0',
      'serial/dongle': 'ttyUSB0',
    });
  });

  it('leave the directory of the class away as well', () => {
    const input = makeClass('keys', [{ subsystem: ['input'] }]);
    expect(namesIn(input, 'input/event3', ['input/by-id/usb-ACME-event-kbd'])).toEqual({
      'keys/event3': '',
      'keys/by-id/usb-ACME-event-kbd': '../event3',
    });
  });

  it.each([
    '../../etc/passwd',
    '/etc/passwd',
    '.hidden',
    'a//b',
    'a/../b',
    'ttyUSB0',
    'ttyUSB0/x',
    'a\nb',
    'a\\x2fb',
    '',
  ])('are left away where they are not plainly safe, or in the way: %j', (link) =>
    expect(namesIn(serial, 'ttyUSB0', [link])).toEqual({ 'serial/ttyUSB0': '' }),
  );
});
