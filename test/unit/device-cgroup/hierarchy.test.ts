import { describe, expect, it } from 'vitest';
import { lineage, parseCgroups } from '../../../src/linux/device-cgroup/hierarchy.ts';

describe('/proc/<pid>/cgroup', () => {
  it('names the cgroup of the devices controller, and the one on v2', () => {
    expect(parseCgroups('9:name=systemd:/a\n5:devices:/kubepods/a:b\n4:memory:/x\n0::/unified/c\n')).toEqual({
      v1: '/kubepods/a:b',
      v2: '/unified/c',
    });
    expect(parseCgroups('3:blkio,devices:/both\n')).toEqual({ v1: '/both' });
    expect(parseCgroups('0::/\n')).toEqual({ v2: '/' });
  });

  it('names none that has been removed', () => {
    expect(parseCgroups('5:devices:/a (deleted)\n0::/b (deleted)\n')).toEqual({});
  });
});

describe('the lineage of a cgroup', () => {
  it('leads from the root to it', () => {
    expect(lineage({ directory: '/cg', root: '/' }, '/a/b')).toEqual(['/cg', '/cg/a', '/cg/a/b']);
    expect(lineage({ directory: '/cg', root: '/' }, '/')).toEqual(['/cg']);
  });

  it('begins where the mount does, and leads nowhere outside of it', () => {
    const hierarchy = { directory: '/cg', root: '/node' };
    expect(lineage(hierarchy, '/node/a')).toEqual(['/cg', '/cg/a']);
    expect(lineage(hierarchy, '/node')).toEqual(['/cg']);
    expect(lineage(hierarchy, '/nodes/a')).toBeUndefined();
    expect(lineage(hierarchy, '/../a')).toBeUndefined();
  });
});
