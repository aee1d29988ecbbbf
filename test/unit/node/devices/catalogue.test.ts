import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseValue } from '../../../../src/contract/wants.ts';
import { inject } from '../../../../src/injection/index.ts';
import type { Device } from '../../../../src/linux/device.ts';
import { classify } from '../../../../src/node/devices/classify.ts';
import { nodeName } from '../../../../src/node/devices/names.ts';
import { deviceDirectory, lint, type Policy, parsePolicy } from '../../../../src/policy/index.ts';
import { makeBlock, makeDevice } from './arbitraries.ts';

/** docs/devices.md, "What people plug in": the class → what it matches, and what the pod says. */
const ROWS = new Map(
  [
    ...readFileSync(join(import.meta.dirname, '../../../../docs/devices.md'), 'utf8')
      .replace(/[\s\S]*## What people plug in/, '')
      .replace(/\n## [\s\S]*/, '')
      .matchAll(/^\|.*\| `(\{.*\})` +\| `(([a-z]+)[^`]*)` +\|$/gm),
  ].map(([, match = '', annotation = '', name = '']) => [name, { match, annotation }]),
);

/** The nodes that such hardware has, and those of others that must not be taken for them; with where they are in the pod. */
const HARDWARE: readonly [name: string, device: Partial<Device>, where: string | undefined][] = [
  ['serial', { usb: '10c4:ea60' }, '/dev/serial/ttyUSB0'],
  ['serial', { usb: '1a86:55d4', name: 'ttyACM3' }, '/dev/serial/ttyACM3'],
  ['serial', { usb: '0403:6001' }, undefined],
  ['modem', { usb: '2c7c:0125', name: 'ttyUSB3' }, '/dev/hotmount/modem/ttyUSB3'],
  ['modem', { usb: '2c7c:0125', subsystem: 'usbmisc', name: 'cdc-wdm0' }, '/dev/hotmount/modem/cdc-wdm0'],
  ['coral', { usb: '1a6e:089a', subsystem: 'usb', name: 'bus/usb/002/004' }, '/dev/bus/usb/002/004'],
  ['coral', { usb: '18d1:9302', subsystem: 'usb', name: 'bus/usb/002/005' }, '/dev/bus/usb/002/005'],
  ['sdr', { usb: '0bda:2838', subsystem: 'usb', name: 'bus/usb/001/009' }, '/dev/bus/usb/001/009'],
  ['sdr', { usb: '0bda:2838', subsystem: 'dvb', name: 'dvb/adapter0/frontend0' }, undefined],
  [
    'print',
    { subsystem: 'usb', name: 'bus/usb/001/010', interfaces: ['07/01/02', 'ff/ff/ff'] },
    '/dev/bus/usb/001/010',
  ],
  ['lp', { subsystem: 'usbmisc', name: 'usb/lp0', interfaces: ['07/01/02'] }, '/dev/usb/lp0'],
  ['lp', { subsystem: 'usbmisc', name: 'usb/hiddev0', interfaces: ['03/00/00'] }, undefined],
  ['cards', { subsystem: 'usb', name: 'bus/usb/001/011', interfaces: ['0b/00/00'] }, '/dev/bus/usb/001/011'],
  ['video', { subsystem: 'video4linux', name: 'video1', interfaces: ['0e/01/00'] }, '/dev/v4l/video1'],
  ['video', { subsystem: 'video4linux', name: 'video10', interfaces: [], bus: 'platform' }, undefined],
  ['sound', { subsystem: 'sound', name: 'snd/pcmC1D0c' }, '/dev/snd/pcmC1D0c'],
  ['sound', { subsystem: 'sound', name: 'snd/controlC0', bus: 'pci' }, undefined],
  ['keys', { subsystem: 'input', name: 'input/event7', interfaces: ['03/01/01'] }, '/dev/input/event7'],
  ['keys', { subsystem: 'input', name: 'input/mouse0', interfaces: ['03/01/02'] }, undefined],
  ['pads', { subsystem: 'input', name: 'input/js0', usb: '045e:028e', interfaces: ['ff/5d/01'] }, '/dev/input/js0'],
  ['hid', { subsystem: 'hidraw', name: 'hidraw2', usb: '1050:0407' }, '/dev/hotmount/hid/hidraw2'],
  ['tv', { subsystem: 'dvb', name: 'dvb/adapter1/demux0' }, '/dev/dvb/adapter1/demux0'],
  ['gpu', { subsystem: 'drm', name: 'dri/renderD128', bus: 'pci' }, '/dev/dri/renderD128'],
  ['gpu', { subsystem: 'drm', name: 'dri/card0', bus: 'pci' }, undefined],
  ['npu', { subsystem: 'accel', name: 'accel/accel0', bus: 'pci' }, '/dev/accel/accel0'],
  [
    'discs',
    { type: 'block', subsystem: 'block', name: 'sr0', block: makeBlock({ name: 'sr0' }) },
    '/dev/hotmount/discs/sr0',
  ],
  ['discs', { type: 'block', subsystem: 'block', name: 'sdb', block: makeBlock() }, undefined],
  ['pins', { subsystem: 'gpio', name: 'gpiochip0', bus: 'gpio' }, '/dev/hotmount/pins/gpiochip0'],
  ['pins', { subsystem: 'i2c-dev', name: 'i2c-1', bus: 'i2c' }, '/dev/hotmount/pins/i2c-1'],
  ['pins', { subsystem: 'spidev', name: 'spidev0.1', bus: 'spi' }, '/dev/hotmount/pins/spidev0.1'],
  ['tun', { subsystem: 'misc', name: 'net/tun', bus: 'virtual' }, '/dev/net/tun'],
];

const policyOf = (name: string): Policy =>
  parsePolicy(`apiVersion: hotmount.io/v1alpha1
kind: Policy
deviceClasses:
  - name: ${name}
    match:
      - ${ROWS.get(name)?.match}
rules:
  - { name: edge, namespaces: [edge], allow: { devices: [${name}] } }
`);

describe('what people plug in, as docs/devices.md has it', () => {
  it('is tried here, every row', () => {
    expect([...ROWS.keys()].sort()).toEqual([...new Set(HARDWARE.map(([name]) => name))].sort());
  });

  it.each([...ROWS.keys()])('is a valid class, at a path that suits: %s', (name) => {
    const policy = policyOf(name);
    expect(lint(policy)).toEqual([]);
    const annotations = { 'hotmount.io/devices': ROWS.get(name)?.annotation ?? '' };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a', annotations },
      spec: { containers: [{ name: 'app', image: 'busybox' }] },
    };
    const { denials, warnings } = inject(pod, { namespace: 'edge', namespaceLabels: {} }, policy);
    expect([...denials, ...warnings]).toEqual([]);
  });

  it.each(HARDWARE)('is taken or not, and where it is looked for: %s, %o', (name, hardware, where) => {
    const { deviceClasses } = policyOf(name);
    const device = makeDevice(hardware);
    const facts = {
      classes: deviceClasses,
      bootSequence: 0,
      properties: new Map<string, string>(),
      use: () => undefined,
    };
    const [found] = [classify(device, facts)].flatMap((result) => (result.kind === 'matched' ? result.classes : []));
    const [want] = [parseValue('devices', ROWS.get(name)?.annotation ?? '')].flatMap((read) =>
      'wants' in read ? read.wants : [],
    );
    const path = want?.feature === 'devices' ? want.path : '';
    expect(found && `${path}/${nodeName(device, deviceDirectory(found))}`).toBe(where);
  });
});
