import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Mount, parseMountinfo } from '../../../src/linux/mountinfo.ts';
import { FILES, planRepairs } from '../../../src/node/lxcfs/reattach-plan.ts';

const LIVE = { device: '0:50', files: new Map(FILES.map((file, i) => [file, 100 + i])) };
const CONTAINER = [
  '500 400 0:60 / / rw,relatime - overlay overlay rw',
  '501 500 0:61 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw',
];
const plan = (lines: readonly string[], locked?: ReadonlySet<number>) =>
  planRepairs(parseMountinfo([...CONTAINER, ...lines, ''].join('\n')), LIVE, locked);
const file = (id: number, parent: number, device: string, rest = '', options = 'ro,nosuid,nodev,relatime') =>
  `${id} ${parent} ${device} /proc/meminfo${rest} /proc/meminfo ${options} - fuse.lxcfs hotmount rw,user_id=0`;

describe('what a container needs', () => {
  it('is nothing where it has the live file, once', () => {
    expect(plan([file(510, 501, '0:50')])).toEqual([]);
  });

  it('is the live file in place of a dead one, with its flags', () => {
    expect(plan([file(510, 501, '0:49')])).toMatchObject([
      {
        mountPoint: '/proc/meminfo',
        path: Buffer.from('/proc/meminfo\0'),
        file: '/proc/meminfo',
        stack: [{ id: 510, isLive: false }],
        set: 0x1 | 0x2 | 0x4,
        isServed: true,
      },
    ]);
    const [writable] = plan([file(510, 501, '0:49', '', 'rw,noexec,noatime')]);
    expect(writable?.set).toBe(0x8 | 0x10);
    expect((writable?.clear ?? 0) & 0x1).toBe(0x1);
  });

  it('is the same where the kernel calls the file of a dead lxcfs deleted', () => {
    expect(plan([file(510, 501, '0:49', '//deleted')])).toMatchObject([{ file: '/proc/meminfo' }]);
  });

  it('is one mount in place of several on one another', () => {
    const stack = [file(510, 501, '0:48'), file(511, 510, '0:49'), file(512, 511, '0:50')];
    expect(plan(stack)).toMatchObject([
      {
        stack: [
          { id: 510, isLive: false },
          { id: 511, isLive: false },
          { id: 512, isLive: true },
        ],
      },
    ]);
  });

  it('is one live mount on top of what is locked', () => {
    const locked = new Set([510]);
    expect(plan([file(510, 501, '0:48')], locked)).toMatchObject([{ stack: [] }]);
    expect(plan([file(510, 501, '0:48'), file(511, 510, '0:50')], locked)).toEqual([]);
    expect(plan([file(510, 501, '0:48'), file(511, 510, '0:49')], locked)).toMatchObject([
      { stack: [{ id: 511, isLive: false }] },
    ]);
  });

  it('is to have a file taken away that the live lxcfs does not serve', () => {
    const live = { device: '0:50', files: new Map() };
    const mounts = parseMountinfo([...CONTAINER, file(510, 501, '0:49'), ''].join('\n'));
    expect(planRepairs(mounts, live)).toMatchObject([{ isServed: false, stack: [{ id: 510, isLive: false }] }]);
  });
});

describe('left alone', () => {
  const others = {
    'an lxcfs of someone else': file(510, 501, '0:49').replace(' hotmount ', ' lxcfs '),
    'another file system of ours': file(510, 501, '0:49').replace('fuse.lxcfs', 'tmpfs'),
    'a whole lxcfs': '510 501 0:49 / /run/hotmount/.lxcfs/3/mnt rw - fuse.lxcfs hotmount rw',
    'a path of it that no container mounts': '510 501 0:49 /sys /somewhere rw - fuse.lxcfs hotmount rw',
  };
  for (const [what, line] of Object.entries(others)) it(what, () => expect(plan([line])).toEqual([]));

  it('what someone else has mounted over', () => {
    expect(plan([file(510, 501, '0:49'), '511 510 0:70 / /proc/meminfo rw - tmpfs tmpfs rw'])).toEqual([]);
    expect(plan([file(510, 501, '0:49'), '511 501 0:71 / /proc rw - proc proc rw'])).toEqual([]);
  });
});

describe('any pile of mounts', () => {
  const layer = fc.constantFrom('dead', 'other dead', 'live', 'foreign');
  const DEVICES = { dead: '0:48', 'other dead': '0:49', live: '0:50', foreign: '0:70' } as const;
  const pile = (layers: readonly (keyof typeof DEVICES)[]): Mount[] =>
    parseMountinfo(
      [
        ...CONTAINER,
        ...layers.map((kind, i) =>
          kind === 'foreign'
            ? `${510 + i} ${i ? 509 + i : 501} 0:70 / /proc/meminfo rw - tmpfs tmpfs rw`
            : file(510 + i, i ? 509 + i : 501, DEVICES[kind]),
        ),
        '',
      ].join('\n'),
    );

  it('is left with what is foreign in it, and otherwise with exactly one live mount on top', () => {
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 6 }), (layers) => {
        const ours = layers.slice(layers.lastIndexOf('foreign') + 1);
        const repairs = planRepairs(pile(layers), LIVE);
        if (ours.length === 0 || (ours.length === 1 && ours[0] === 'live')) {
          expect(repairs).toEqual([]);
          return;
        }
        expect(repairs).toHaveLength(1);
        const first = 510 + layers.length - ours.length;
        expect(repairs[0]?.stack).toEqual(ours.map((kind, i) => ({ id: first + i, isLive: kind === 'live' })));
      }),
    );
  });
});
