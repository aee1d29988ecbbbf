import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hardwareWords, matchFor, unclaimed } from '../../../../src/node/block/hardware-words.ts';
import { classesOf } from '../../../../src/node/devices/match.ts';
import { parsePolicy } from '../../../../src/policy/index.ts';
import { makeDevice } from '../devices/arbitraries.ts';

const policyWith = (match: string) =>
  parsePolicy(
    `apiVersion: hotmount.io/v1alpha1\nkind: Policy\ndeviceClasses:\n  - name: own\n    match:\n      - ${match}\n`,
  );

describe('what is said of a device', () => {
  it('is what people know it by', () => {
    expect(hardwareWords(makeDevice())).toBe(
      'usb 0403:6001, "FTDI" "FT232R USB UART", serial "A50285BI", path pci-0000:00:14.0-usb-0:1:1.0',
    );
    expect(unclaimed(makeDevice(), { subsystem: 'tty' })).toBe(
      'in no class (usb 0403:6001, "FTDI" "FT232R USB UART", serial "A50285BI", path pci-0000:00:14.0-usb-0:1:1.0); to match it: { subsystem: ["tty"], usb: ["0403:6001"], serial: ["A50285BI"] }',
    );
  });

  it('goes by the port where there is no serial number, and by the name where there is nothing', () => {
    expect(matchFor(makeDevice({ serial: '' }), { subsystem: 'tty' })).toBe(
      '{ subsystem: ["tty"], usb: ["0403:6001"], path: ["pci-0000:00:14.0-usb-0:1:1.0"] }',
    );
    const tunnel = makeDevice({ usb: '', vendor: '', model: '', serial: '', path: '' });
    expect(matchFor(tunnel, { subsystem: 'misc', devname: 'net/tun' })).toBe(
      '{ subsystem: ["misc"], devname: ["net/tun"] }',
    );
  });

  it('can be pasted into a class, whatever the device calls itself, and means that device', () => {
    const serial = fc.oneof(
      fc.string(),
      fc.constantFrom('*', '[a]', '!x', '"', '\\', "'", '{{', '#', 'null', '\u202e', '\n'),
    );
    fc.assert(
      fc.property(serial, (text) => {
        const device = makeDevice({ serial: text });
        const { deviceClasses } = policyWith(matchFor(device, { subsystem: 'tty' }));
        expect(classesOf(deviceClasses, device, { isFixed: false, properties: new Map() })).toHaveLength(1);
        const other = makeDevice({ serial: `${text}x`, path: 'elsewhere' });
        expect(classesOf(deviceClasses, other, { isFixed: false, properties: new Map() })).toHaveLength(0);
      }),
    );
  });
});
