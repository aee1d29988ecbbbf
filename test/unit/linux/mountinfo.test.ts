import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMountinfo, pathBytes, topMount } from '../../../src/linux/mountinfo.ts';

const LINE = '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue';

/** What the kernel (fs/proc_namespace.c) escapes, and nothing else. */
const mangle = (bytes: Uint8Array): string =>
  [...bytes]
    .map((byte) =>
      ' \t\n\\#'.includes(String.fromCharCode(byte))
        ? `\\${byte.toString(8).padStart(3, '0')}`
        : String.fromCharCode(byte),
    )
    .join('');

const fileName = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => bytes.map((byte) => (byte === 0 || byte === 47 ? 95 : byte)));
const path = fc
  .array(fileName, { maxLength: 4 })
  .map((names) =>
    Buffer.concat(names.flatMap((name) => [Buffer.from('/'), name]).concat(names.length ? [] : [Buffer.from('/')])),
  );
const word = fc.stringMatching(/^[a-z0-9_=.-]{1,12}$/);
const id = fc.nat({ max: 2 ** 31 - 1 });

const mount = fc.record({
  id,
  parent: id,
  device: fc.tuple(fc.nat(4095), fc.nat(1048575)).map(([major, minor]) => `${major}:${minor}`),
  root: path,
  mountPoint: path,
  options: fc.array(word, { minLength: 1, maxLength: 6 }),
  shared: fc.option(id, { nil: undefined }),
  master: fc.option(id, { nil: undefined }),
  propagateFrom: fc.option(id, { nil: undefined }),
  unbindable: fc.boolean(),
  unknownTag: fc.boolean(),
  fsType: word,
  source: fc.oneof(path, fc.constant(new Uint8Array())),
  superOptions: fc.array(word, { minLength: 1, maxLength: 6 }),
});

describe('parseMountinfo', () => {
  it('reads each field of the line in proc_pid_mountinfo(5)', () => {
    expect(parseMountinfo(`${LINE}\n`)).toEqual([
      {
        id: 36,
        parent: 35,
        device: '98:0',
        root: '/mnt1',
        mountPoint: '/mnt2',
        rawMountPoint: '/mnt2',
        options: ['rw', 'noatime'],
        shared: undefined,
        master: 1,
        propagateFrom: undefined,
        unbindable: false,
        fsType: 'ext3',
        source: '/dev/root',
        superOptions: ['rw', 'errors=continue'],
      },
    ]);
  });

  it('reads an empty source, which leaves two spaces', () => {
    expect(parseMountinfo('1 2 0:5 / /x rw - tmpfs  rw')).toMatchObject([
      { fsType: 'tmpfs', source: '', superOptions: ['rw'] },
    ]);
  });

  it('is not led astray by names that look like the separator', () => {
    const [mount] = parseMountinfo('1 2 0:5 / /a\\040-\\040b rw - tmpfs - rw');
    expect(mount).toMatchObject({ mountPoint: '/a - b', source: '-', fsType: 'tmpfs' });
  });

  it.each(['', 'x'].flatMap((junk) => [`${junk}1 2 3`, '36 35 98 / / rw - a b c', LINE.replace(' - ', ' ')]))(
    'refuses %j',
    (line) => {
      expect(() => parseMountinfo(line)).toThrow('not a line of mountinfo');
    },
  );

  it('gives back whatever mount table the kernel could have written', () => {
    fc.assert(
      fc.property(fc.array(mount, { maxLength: 8 }), (mounts) => {
        const text = mounts.map((m) => {
          const tags = [
            m.shared === undefined ? '' : `shared:${m.shared} `,
            m.master === undefined ? '' : `master:${m.master} `,
            m.propagateFrom === undefined ? '' : `propagate_from:${m.propagateFrom} `,
            m.unknownTag ? 'later_kernel:7 ' : '',
            m.unbindable ? 'unbindable ' : '',
          ].join('');
          return `${m.id} ${m.parent} ${m.device} ${mangle(m.root)} ${mangle(m.mountPoint)} ${m.options} ${tags}- ${m.fsType} ${mangle(m.source)} ${m.superOptions}\n`;
        });
        const parsed = parseMountinfo(text.join(''));
        expect(parsed).toHaveLength(mounts.length);
        for (const [i, expected] of mounts.entries()) {
          const { unknownTag: _, root, mountPoint, source, ...same } = expected;
          expect(parsed[i]).toMatchObject(same);
          expect(pathBytes(parsed[i]?.rawMountPoint ?? '').equals(Buffer.from(mountPoint))).toBe(true);
          expect(parsed[i]).toMatchObject({
            root: Buffer.from(root).toString(),
            mountPoint: Buffer.from(mountPoint).toString(),
            source: Buffer.from(source).toString(),
          });
        }
      }),
    );
  });

  it.runIf(process.platform === 'linux')('reads the table of each process of this machine, a mount a line', () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      let text: string;
      try {
        text = readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
      } catch {
        continue; // ended, a zombie, or not ours to look at
      }
      const mounts = parseMountinfo(text);
      expect(mounts).toHaveLength(text.split('\n').length - 1);
      for (const mount of mounts) {
        expect(mount.mountPoint).toMatch(/^\//);
        expect(mount.options).toContain(mount.options.includes('ro') ? 'ro' : 'rw');
        expect(mount.fsType).not.toBe('');
      }
    }
  });
});

describe('topMount', () => {
  it('is the last of several mounts on one another', () => {
    const mounts = parseMountinfo(
      '1 0 0:5 / /x rw - tmpfs a rw\n2 1 0:6 / /x rw - tmpfs b rw\n3 1 0:7 / /y rw - tmpfs c rw\n',
    );
    expect(topMount(mounts, '/x')?.id).toBe(2);
    expect(topMount(mounts, '/z')).toBeUndefined();
  });
});
