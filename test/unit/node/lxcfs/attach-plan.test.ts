import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Mount, parseMountinfo } from '../../../../src/linux/mountinfo.ts';
import {
  countAttached,
  FILES,
  foreignDevices,
  planAttachments,
  type Sources,
} from '../../../../src/node/lxcfs/attach-plan.ts';

const LIVE: Sources = new Map(FILES.map((file, i) => [file, { device: '0:50', fd: 100 + i }]));
const CONTAINER = [
  '500 400 0:60 / / rw,relatime - overlay overlay rw',
  '501 500 0:61 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw',
];
const table = (lines: readonly string[]): Mount[] => parseMountinfo([...CONTAINER, ...lines, ''].join('\n'));
const plan = (lines: readonly string[], locked: ReadonlySet<number> = new Set()) =>
  planAttachments(table(lines), LIVE, { locked });
const file = (id: number, parent: number, device: string, rest = '', options = 'ro,nosuid,nodev,relatime') =>
  `${id} ${parent} ${device} /proc/meminfo${rest} /proc/meminfo ${options} - fuse.lxcfs hotmount rw,user_id=0`;
const nodeFile = (id: number, parent: number) =>
  `${id} ${parent} 0:23 /meminfo /proc/meminfo ro,nosuid,nodev,relatime - proc hotmount rw`;

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
        source: { device: '0:50', fd: 100 + FILES.indexOf('/proc/meminfo') },
      },
    ]);
    const [writable] = plan([file(510, 501, '0:49', '', 'rw,noexec,noatime')]);
    expect(writable?.set).toBe(0x8 | 0x10);
    expect((writable?.clear ?? 0) & 0x1).toBe(0x1);
  });

  it('is put beneath by what the path lies on, if that is private', () => {
    const text = (path: string) => Buffer.from(`${path}\0`);
    const onlyParent = (lines: string[]) => planAttachments(parseMountinfo(lines.join('\n')), LIVE)[0]?.parent;
    const [root = '', proc = ''] = CONTAINER;
    const dead = file(510, 501, '0:49');
    expect(onlyParent([root, proc, dead])).toEqual({ id: 501, path: text('/proc'), inside: text('meminfo') });
    expect(onlyParent([root, file(510, 500, '0:49')])).toEqual({
      id: 500,
      path: text('/'),
      inside: text('proc/meminfo'),
    });
    for (const group of ['shared:7', 'master:7']) {
      expect(onlyParent([root, proc.replace(' - ', ` ${group} - `), dead])).toBeUndefined();
    }
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

  it('is the live file alone, where a visit has left dead ones between two live ones', () => {
    const other = '512 511 0:49 /proc/stat /proc/meminfo rw,noexec,relatime - fuse.lxcfs hotmount rw';
    const stack = [file(510, 501, '0:50'), file(511, 510, '0:49'), other, file(513, 512, '0:50')];
    expect(plan(stack)).toMatchObject([
      { file: '/proc/meminfo', stack: [510, 511, 512, 513].map((id) => ({ id, isLive: id % 3 === 0 })), set: 0x7 },
    ]);
  });

  it('is the file that belongs there, where a visit could unmount only part of what it has piled up', () => {
    const other = (id: number, parent: number, device: string) =>
      `${id} ${parent} ${device} /proc/swaps /proc/meminfo rw,noexec,relatime - fuse.lxcfs hotmount rw`;
    const own = { file: '/proc/meminfo', set: 0x7, source: LIVE.get('/proc/meminfo') };
    expect(plan([file(510, 501, '0:50'), other(511, 510, '0:49')])).toMatchObject([
      { ...own, stack: [{ isLive: true }, { isLive: false }] },
    ]);
    expect(plan([file(510, 501, '0:48'), other(511, 510, '0:50')])).toMatchObject([
      { ...own, stack: [{ isLive: false }, { isLive: false }] },
    ]);
    const locked = new Set([510, 511]);
    expect(plan([file(510, 501, '0:48'), other(511, 510, '0:50')], locked)).toMatchObject([{ ...own, stack: [] }]);
  });

  it('is nothing where the live file has got the number of a mount that was locked', () => {
    expect(plan([file(510, 501, '0:50')], new Set([510]))).toEqual([]);
  });

  it('is one live mount on top of what is locked', () => {
    const locked = new Set([510]);
    expect(plan([file(510, 501, '0:48')], locked)).toMatchObject([{ stack: [] }]);
    expect(plan([file(510, 501, '0:48'), file(511, 510, '0:50')], locked)).toEqual([]);
    expect(plan([file(510, 501, '0:48'), file(511, 510, '0:49')], locked)).toMatchObject([
      { stack: [{ id: 511, isLive: false }] },
    ]);
  });

  it('is to have a file taken away that nothing is there for', () => {
    const mounts = parseMountinfo([...CONTAINER, file(510, 501, '0:49'), ''].join('\n'));
    expect(planAttachments(mounts, new Map())).toMatchObject([
      { source: undefined, stack: [{ id: 510, isLive: false }] },
    ]);
  });

  it('is the live file in place of the node’s own, and the node’s own in place of one that is not served', () => {
    expect(plan([nodeFile(510, 501)])).toMatchObject([{ file: '/proc/meminfo', stack: [{ id: 510, isLive: false }] }]);
    const cpu = '510 502 0:22 /devices/system/cpu /sys/devices/system/cpu ro - sysfs hotmount rw';
    expect(plan([cpu])).toMatchObject([{ file: '/sys/devices/system/cpu', stack: [{ id: 510, isLive: false }] }]);
    const node: Sources = new Map([['/proc/meminfo', { device: '0:23', fd: 9 }]]);
    expect(planAttachments(table([nodeFile(510, 501)]), node)).toEqual([]);
    expect(planAttachments(table([file(510, 501, '0:50')]), node)).toMatchObject([
      { source: { fd: 9 }, set: 0x1 | 0x2 | 0x4 },
    ]);
    expect(countAttached(table([nodeFile(510, 501)]), node)).toEqual({ lxcfs: 0, node: 1 });
    expect(countAttached(table([file(510, 501, '0:50')]), LIVE)).toEqual({ lxcfs: 1, node: 0 });
  });
});

describe('left alone', () => {
  const others = {
    'an lxcfs of someone else': file(510, 501, '0:49').replace(' hotmount ', ' lxcfs '),
    'another file system of ours': file(510, 501, '0:49').replace('fuse.lxcfs', 'tmpfs'),
    'a whole lxcfs': '510 501 0:49 / /run/hotmount/.lxcfs/3/mnt rw - fuse.lxcfs hotmount rw',
    'a procfs, whole, with our name': '510 501 0:49 / /proc rw - proc hotmount rw',
    'a file of someone else’s procfs': '510 501 0:23 /meminfo /proc/meminfo ro - proc proc rw',
    'a path of it that no container mounts': '510 501 0:49 /sys /somewhere rw - fuse.lxcfs hotmount rw',
  };
  for (const [what, line] of Object.entries(others)) it(what, () => expect(plan([line])).toEqual([]));

  it('the files of the node’s that lie ready in a run dir, wherever it is seen', () => {
    const runDir = '520 500 0:80 / /host/run/hotmount rw shared:5 - tmpfs hotmount rw';
    const inIt = '521 520 0:23 /meminfo /host/run/hotmount/.lxcfs/node/proc/meminfo ro shared:6 - proc hotmount rw';
    expect(plan([runDir, inIt])).toEqual([]);
    expect(countAttached(table([runDir, inIt]), new Map([['/proc/meminfo', { device: '0:23', fd: 9 }]]))).toEqual({
      lxcfs: 0,
      node: 0,
    });
  });

  it('what a supervisor with another run dir serves', () => {
    const node = parseMountinfo(
      [
        '60 30 0:50 / /run/hotmount/.lxcfs/1/mnt rw - fuse.lxcfs hotmount rw',
        '61 30 0:22 /devices/system/cpu /run/hotmount/.lxcfs/node/sys/devices/system/cpu ro - sysfs hotmount rw',
        '62 31 0:49 / /run/other/.lxcfs/1/mnt rw - fuse.lxcfs hotmount rw',
        '63 31 0:22 /devices/system/cpu /run/other/.lxcfs/node/sys/devices/system/cpu ro - sysfs hotmount rw',
        '64 31 0:90 / /run/other rw - tmpfs hotmount rw',
        '',
      ].join('\n'),
    );
    const foreign = foreignDevices(node, '/run/hotmount');
    expect(foreign).toEqual(new Set(['0:49']));
    expect(planAttachments(table([file(510, 501, '0:49')]), LIVE, { foreign })).toEqual([]);
    expect(planAttachments(table([file(510, 501, '0:48')]), LIVE, { foreign })).toHaveLength(1);
  });

  it('what someone else has mounted over', () => {
    expect(plan([file(510, 501, '0:49'), '511 510 0:70 / /proc/meminfo rw - tmpfs tmpfs rw'])).toEqual([]);
    expect(plan([file(510, 501, '0:49'), '511 501 0:71 / /proc rw - proc proc rw'])).toEqual([]);
  });
});

describe('any pile of mounts', () => {
  const layer = fc.constantFrom('dead', 'other dead', 'live', 'of another path', 'foreign');
  const DEVICES = {
    dead: '0:48',
    'other dead': '0:49',
    live: '0:50',
    'of another path': '0:50',
    foreign: '0:70',
  } as const;
  const pile = (layers: readonly (keyof typeof DEVICES)[]): Mount[] =>
    parseMountinfo(
      [
        ...CONTAINER,
        ...layers.map((kind, i) =>
          kind === 'foreign'
            ? `${510 + i} ${i ? 509 + i : 501} 0:70 / /proc/meminfo rw - tmpfs tmpfs rw`
            : file(510 + i, i ? 509 + i : 501, DEVICES[kind]).replace(
                'meminfo',
                kind === 'of another path' ? 'swaps' : 'meminfo',
              ),
        ),
        '',
      ].join('\n'),
    );

  it('is left with what is foreign in it, and otherwise with exactly one live mount on top', () => {
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 6 }), (layers) => {
        const ours = layers.slice(layers.lastIndexOf('foreign') + 1);
        // A visit piles up what it takes off other paths on what is there.
        fc.pre(ours[0] !== 'of another path');
        const attachments = planAttachments(pile(layers), LIVE, { dead: new Set(['0:48']) });
        if (ours.length === 0 || (ours.length === 1 && ours[0] === 'live')) {
          expect(attachments).toEqual([]);
          return;
        }
        expect(attachments).toMatchObject([{ file: '/proc/meminfo' }]);
        const first = 510 + layers.length - ours.length;
        expect(attachments[0]?.stack).toEqual(
          ours.map((kind, i) => ({ id: first + i, isLive: kind === 'live', isDead: kind === 'dead' })),
        );
      }),
    );
  });
});
