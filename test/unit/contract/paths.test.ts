import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  devicesPath,
  lxcfsPath,
  mediaPath,
  normalizePath,
  pathProblem,
  runDirProblem,
} from '../../../src/contract/paths.ts';

describe('the paths that the node daemon and pods share', () => {
  it('are where the contract has them', () => {
    expect(mediaPath('usb', false)).toBe('/run/hotmount/media/usb');
    expect(mediaPath('usb', true)).toBe('/run/hotmount/media-ro/usb');
    expect(devicesPath('serial')).toBe('/run/hotmount/devices/serial');
    expect(lxcfsPath('/proc/meminfo')).toBe('/run/hotmount/lxcfs/proc/meminfo');
  });
});

describe('normalizing a path', () => {
  it.each([
    ['/x', '/x'],
    ['/x/', '/x'],
    ['//x', '/x'],
    ['/x//y/./z/', '/x/y/z'],
    ['/', '/'],
    ['//', '/'],
    ['/.', '/'],
    ['/x/../y', '/y'],
  ])('makes %s into %s', (path, normal) => expect(normalizePath(path)).toBe(normal));

  it('is the same the second time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('/', '.', '..', 'a', ' ')).map((parts) => parts.join('')),
        (path) => {
          expect(normalizePath(normalizePath(path))).toBe(normalizePath(path));
        },
      ),
    );
  });
});

describe('a mount point that a user chooses', () => {
  it.each([
    '/x',
    '/mnt/usb/',
    '/run',
    '/run/hotmount-mine',
    '/run/udev',
    '/dev/hotmount/serial',
    '/device',
    '/process',
    '/sysroot',
    '/ü',
  ])('may be %s', (path) => expect(pathProblem(path)).toBeUndefined());

  it.each([
    ['/', '/'],
    ['//', '/'],
    ['/.', '/'],
    ['/dev', '/dev'],
    ['/dev/', '/dev'],
    ['//dev/.', '/dev'],
    ['/run/hotmount', '/run/hotmount'],
    ['/run/./hotmount//', '/run/hotmount'],
    ['/proc', '/proc'],
    ['/proc/1/root', '/proc'],
    ['/sys', '/sys'],
    ['/sys/fs/cgroup/', '/sys'],
  ])('may not be %s', (path, covered) => {
    expect(pathProblem(path)).toBe(`would cover ${covered}, which no policy can allow`);
  });

  it.each([
    ['must be an absolute path', ''],
    ['must be an absolute path', 'x'],
    ['must not contain ":" or control characters', '/a:b'],
    ['must not contain ":" or control characters', '/a\nb'],
    ['must not contain ":" or control characters', '/a\u0000'],
    ['must not contain ".."', '/a/..'],
    ['must not contain ".."', '/../dev'],
    ['must not be longer than 4095 bytes', '/x'.repeat(2_048)],
    ['must not be longer than 4095 bytes', '/ü'.repeat(1_366)],
    ['must not have a name of more than 255 bytes in it', `/a/${'x'.repeat(256)}`],
  ])('%s', (problem, path) => expect(pathProblem(path)).toBe(problem));

  it('is never one of the protected ones, however it is written', () => {
    const part = fc.constantFrom('/', '//', '/./', 'dev', 'proc', 'sys', 'run', 'hotmount', '..', '.', 'x');
    const path = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(path, (path) => {
        if (pathProblem(path) !== undefined) return;
        const names = path.split('/').filter((name) => name !== '' && name !== '.');
        expect(names.length).toBeGreaterThan(0);
        expect(['proc', 'sys']).not.toContain(names[0]);
        expect(['dev', 'run/hotmount']).not.toContain(names.join('/'));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the run dir', () => {
  it.each(['/run/hotmount', '/hotmount', '/var/lib/hotmount', '/tmp/x/run', '/processes', '/dev/shm/run'])(
    'may be %s',
    (path) => expect(runDirProblem(path)).toBeUndefined(),
  );

  it.each(['/', '/proc', '/proc/', '/sys/fs', '//etc', '/run', '/var/lib/', '/dev', '/usr/./bin', '/var/lib/kubelet'])(
    'may not be %s, which would be hidden',
    (path) => expect(runDirProblem(path)).toMatch(/hide/),
  );
});
