import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseUevent } from '../../../src/linux/uevent.ts';

const datagram = (...lines: string[]): Buffer => Buffer.from(lines.map((line) => `${line}\0`).join(''));
const ADD = [
  'add@/devices/virtual/block/zram1',
  'ACTION=add',
  'DEVPATH=/devices/virtual/block/zram1',
  'SUBSYSTEM=block',
  'DEVNAME=zram1',
  'SEQNUM=7',
];

describe('parseUevent', () => {
  it('reads what the kernel sends', () => {
    expect(parseUevent(datagram(...ADD))).toEqual({
      action: 'add',
      devpath: '/devices/virtual/block/zram1',
      subsystem: 'block',
      env: {
        ACTION: 'add',
        DEVPATH: '/devices/virtual/block/zram1',
        SUBSYSTEM: 'block',
        DEVNAME: 'zram1',
        SEQNUM: '7',
      },
    });
  });

  it.each([
    [
      'what udevd sends to its own listeners',
      Buffer.concat([Buffer.from('libudev\0\xfe\xed\xca\xfe', 'latin1'), datagram(...ADD)]),
    ],
    ['a header that the variables contradict', datagram('remove@/devices/virtual/block/zram1', ...ADD.slice(1))],
    ['a device path that is none', datagram('add@x', 'ACTION=add', 'DEVPATH=x', 'SUBSYSTEM=block')],
    ['a missing subsystem', datagram(...ADD.slice(0, 3))],
    ['a line without a variable', datagram(...ADD, 'nonsense')],
    ['a message cut off', datagram(...ADD).subarray(0, -1)],
    ['nothing', Buffer.alloc(0)],
  ])('takes %s for nothing', (_, bytes) => {
    expect(parseUevent(bytes)).toBeUndefined();
  });

  it('keeps variables apart from what every object has', () => {
    const event = parseUevent(datagram(...ADD, '__proto__=x', 'constructor=y'));
    expect(event?.env['constructor']).toBe('y');
    expect(Object.keys(event?.env ?? {})).toContain('__proto__');
  });

  it('gives back whatever variables it is sent', () => {
    const key = fc
      .stringMatching(/^[A-Z][A-Z0-9_]{0,15}$/)
      .filter((name) => !['ACTION', 'DEVPATH', 'SUBSYSTEM'].includes(name));
    const value = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', ''));
    fc.assert(
      fc.property(fc.dictionary(key, value), value, (variables, tail) => {
        const devpath = `/devices/${tail}`;
        const env = { ACTION: 'change', DEVPATH: devpath, SUBSYSTEM: 'block', ...variables };
        const lines = Object.entries(env).map(([name, text]) => `${name}=${text}`);
        expect(parseUevent(datagram(`change@${devpath}`, ...lines))?.env).toEqual(env);
      }),
    );
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void parseUevent(bytes)));
  });
});
