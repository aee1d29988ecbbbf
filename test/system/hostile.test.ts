import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, symlinkSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Uevent } from '../../src/linux/uevent.ts';
import { listenForUevents } from '../../src/linux/uevents.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, run, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

describeSystem('hostile disks, containers and neighbours', ['runc', 'busybox', 'python3'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  const PLANTS = [
    'mkdir /media/STICK',
    'ln -s /etc /media/STICK',
    'mknod /media/STICK c 1 3',
    'touch /media/STICK',
    'mv /media /other',
    'rmdir /media',
  ];

  it.each([
    ['a container', {}],
    ['a privileged container', { privileged: true }],
    ['a container with users of its own', { userNamespace: true }],
  ])('%s that has the class directory writable can plant nothing in it', async (_, options) => {
    const daemon = await new Daemon(rig).start();
    const mounts = [{ source: `${daemon.runDir}/media/test`, target: '/media', propagation: 'rslave' as const }];
    const container = new Container(rig, { mounts, ...options });
    for (const plant of PLANTS)
      expect(() => container.sh(plant), plant).toThrow(/Read-only file system|resource busy|not permitted/i);
    const disk = new LoopDisk(rig, { label: 'STICK' });
    expect(await daemon.mounted(disk.plug())).toBe(`${daemon.runDir}/media/test/STICK`);
  });

  it('what someone with a writable mount of the run dir has planted is never mounted through', async () => {
    const daemon = await new Daemon(rig).start();
    // Some runtimes make a bind that is asked for as `rw` writable, whatever it was.
    const writable = rig.path('writable');
    const elsewhere = rig.path('elsewhere');
    for (const path of [writable, elsewhere]) mkdirSync(path);
    run('mount', '--bind', `${daemon.runDir}/media/test`, writable);
    run('mount', '-o', 'remount,bind,rw', writable);
    symlinkSync(elsewhere, `${writable}/STICK`);
    mkdirSync(`${writable}/-twin`);

    const disk = new LoopDisk(rig, { label: 'STICK' });
    expect(await daemon.mounted(disk.plug())).toBe(`${daemon.runDir}/media/test/STICK-${disk.uuid}`);
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  it('200 hostile labels: distinct names, all directly in the class directory', async () => {
    const daemon = await new Daemon(rig).start();
    const disks = hostileLabels().map((label) => {
      const disk = new LoopDisk(rig, { size: 1, features: '^metadata_csum' });
      writeLabel(disk.image, label);
      disk.plug();
      return disk;
    });
    const status = await until(
      'all are mounted',
      async () => {
        const found = await daemon.status();
        if (found?.mounted.length === disks.length) return found;
        throw new Error(JSON.stringify(found?.notMounted.filter(({ reason }) => reason !== 'no_medium')));
      },
      90,
    );
    const names = readdirSync(`${daemon.runDir}/media/test`);
    expect(new Set(status.mounted.map(({ path }) => path))).toEqual(
      new Set(names.map((name) => `${daemon.runDir}/media/test/${name}`)),
    );
    expect(names).toHaveLength(200);
    expect(names.filter((name) => !/^[\p{L}\p{N}][\p{L}\p{N}\p{M}._+@=-]*$/u.test(name))).toEqual([]);
    expect(daemon.mountPoints()).toHaveLength(400);

    for (const disk of disks) disk.pull();
    await until('all are gone', () => daemon.mountPoints().length === 0, 90);
    // Who still holds a file of each is looked for first.
    await until('their directories, too', () => readdirSync(`${daemon.runDir}/media/test`).length === 0, 90);
  }, 240_000);

  it('events that another process makes up are not heard', async () => {
    const heard: Uevent[] = [];
    const fail = (error: Error): never => {
      throw error;
    };
    const listener = listenForUevents({}, ({ events }) => heard.push(...events), fail);
    const lines = [
      'add@/devices/virtual/block/loop0',
      'ACTION=add',
      'DEVPATH=/devices/virtual/block/loop0',
      'SUBSYSTEM=block',
      'SPOOFED=1',
    ];
    const sender = `import socket,sys
s=socket.socket(16,3,15); s.bind((0,0)); s.sendto(sys.stdin.buffer.read(),(0,1))`;
    const { status, stderr } = spawnSync('python3', ['-c', sender], { input: `${lines.join('\0')}\0` });
    expect([status, String(stderr)]).toEqual([0, '']);
    // A real one after it: whatever was sent before has been received by then.
    const disk = new LoopDisk(rig);
    disk.plug();
    await until('the real event is heard', () => heard.some(({ devpath }) => devpath.endsWith(`/${disk.name}`)));
    listener.close();
    expect(heard.filter(({ env }) => 'SPOOFED' in env)).toEqual([]);
  });
});

/** ext4: 16 bytes at 120 of the superblock, which is at 1024 and must have no checksum. */
function writeLabel(image: string, label: Buffer): void {
  const fd = openSync(image, 'r+');
  const bytes = Buffer.alloc(16);
  label.copy(bytes);
  writeSync(fd, bytes, 0, 16, 1024 + 120);
  closeSync(fd);
}

function hostileLabels(): Buffer[] {
  const fixed = [
    '..',
    '.',
    '/',
    '//',
    '../..',
    '../../etc',
    '/etc/passwd',
    '$(reboot)',
    '`reboot`',
    ';reboot',
    '-o',
    '--help',
    '-',
    '_',
    '\n',
    'a\nb',
    'a\\nb',
    '"',
    "'",
    '"\'',
    ' ',
    '  x  ',
    '\t',
    '\x7f',
    '\x1b[2J',
    '\u202efdp.exe',
    '\u200b',
    '\ufeff',
    'a\u0301',
    'á',
    'ä',
    'ß',
    '💾',
    '磁盘',
    'עברית',
    '*',
    '?',
    '[a]',
    '{a,b}',
    '~',
    '~root',
    '%s%n',
    '%00',
    'a/b',
    'a//b',
    'a b',
    'a_b',
    'a\u00a0b',
    'CON',
    'nul',
    '.hidden',
    '...',
    '. .',
    'x.',
    '\\',
    '\\..\\',
    '\\040',
    '#',
    '!',
    '&',
    '|',
    '>x',
    'media-ro',
    'x'.repeat(16),
  ].map((text) => Buffer.from(text));
  const bytes = [0xff, 0x80, 0xc0, 0xed, 0xf8, 0x01].map((byte) => Buffer.alloc(16, byte));
  const colliding = ['a?b', 'a:b', 'a;b', 'a"b', 'A_B', 'SAME', 'SAME', 'SAME', 'SAME!', '!SAME'].map((text) =>
    Buffer.from(text),
  );
  const labels = [...fixed, ...bytes, ...colliding];
  // The rest are pseudo-random bytes: the same in each run.
  for (let seed = 1; labels.length < 200; seed++) {
    labels.push(Buffer.from(Array.from({ length: 16 }, (_, i) => Math.imul(seed * 16 + i, 0x9e3779b1) >>> 24 || 1)));
  }
  return labels;
}
