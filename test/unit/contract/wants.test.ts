import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FEATURES, type Feature } from '../../../src/contract/annotations.ts';
import { isClassName, LXCFS_VIEW_NAMES, parseNames, parseValue } from '../../../src/contract/wants.ts';
import { hostileText } from '../injection/generators/basics.ts';

const wants = (feature: Feature, value: string) => {
  const parsed = parseValue(feature, value);
  return 'wants' in parsed ? parsed.wants.map(({ feature: _, ...want }) => want) : parsed;
};
const problem = (feature: Feature, value: string) => {
  const parsed = parseValue(feature, value);
  return 'problem' in parsed ? parsed.problem : undefined;
};

describe('the value of every feature', () => {
  it.each(FEATURES)('is nothing for %s where it is "false"', (feature) => {
    expect(parseValue(feature, 'false')).toEqual({ wants: [] });
    expect(parseValue(feature, ' false ')).toEqual({ wants: [] });
  });

  it.each(FEATURES)('is wrong for %s where it is empty', (feature) => {
    expect(problem(feature, '')).toMatch(/./);
    expect(problem(feature, '  ')).toEqual(problem(feature, ''));
  });

  it.each(FEATURES)('is wrong for %s where it is another spelling of "false"', (feature) => {
    for (const value of ['False', 'FALSE', '"false"']) expect(problem(feature, value)).toMatch(/./);
  });

  it('never throws, and every problem is a phrase of one line', () => {
    fc.assert(
      fc.property(fc.constantFrom(...FEATURES), hostileText, (feature, value) => {
        const parsed = parseValue(feature, value);
        if ('problem' in parsed) {
          expect(parsed.problem).toMatch(/^\P{Cc}{1,600}$/u);
        } else {
          expect(parsed.wants.every((want) => want.feature === feature)).toBe(true);
        }
      }),
    );
  });

  it('has 64 items and 32,768 characters at most', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `class-${i}`).join(',');
    expect(wants('devices', many(64))).toHaveLength(64);
    expect(problem('devices', many(65))).toBe('it lists 65 items, and 64 is the most');
    expect(problem('devices', `usb:/${'x'.repeat(40_000)}`)).toMatch(/^it is longer than 32768 characters$/);
  });

  it('counts what is said twice once', () => {
    expect(wants('capabilities', 'NET_ADMIN,CAP_NET_ADMIN,net_admin')).toEqual([{ capability: 'NET_ADMIN' }]);
    expect(wants('media', 'usb, usb:/media/usb, usb:/media/usb/')).toHaveLength(1);
  });
});

describe('live', () => {
  it('is a directory at /hotmount, or at another path', () => {
    expect(wants('live', 'true')).toEqual([{ path: '/hotmount' }]);
    expect(wants('live', '/x/')).toEqual([{ path: '/x' }]);
    expect(wants('live', 'false')).toEqual([]);
    expect(problem('live', 'yes')).toContain('expected "true" or a path');
    expect(problem('live', '/proc/x')).toContain('would cover /proc');
  });
});

describe('privileged', () => {
  it('is "true" or "false"', () => {
    expect(wants('privileged', 'true')).toEqual([{}]);
    expect(problem('privileged', 'yes')).toBe('expected "true" or "false"');
  });
});

describe('capabilities', () => {
  it('are names with or without CAP_, in any case', () => {
    expect(wants('capabilities', 'NET_ADMIN, CAP_NET_RAW,cap_sys_nice , ALL')).toEqual(
      ['NET_ADMIN', 'NET_RAW', 'SYS_NICE', 'ALL'].map((capability) => ({ capability })),
    );
  });

  it('are refused where the kernel has none of the name, with the nearest that it has', () => {
    expect(problem('capabilities', 'NET_ADMN')).toBe('there is no capability "NET_ADMN"; did you mean "NET_ADMIN"?');
    expect(problem('capabilities', 'true')).toBe('there is no capability "true"');
    expect(problem('capabilities', 'NET_ADMIN,,BPF')).toBe(
      'expected capabilities such as "NET_ADMIN", separated by commas; an item is empty',
    );
  });
});

describe('uevents', () => {
  it.each(['kernel', 'udev', 'udevd'])('may be %s', (access) => {
    expect(wants('uevents', access)).toEqual([{ access }]);
  });

  it('are one word, never a list', () => {
    expect(problem('uevents', 'kernel,udev')).toMatch(/^"kernel,udev" is not one of its values/);
    expect(problem('uevents', 'true')).toBe('"true" is not one of its values; expected kernel, udev, udevd');
    expect(problem('uevents', 'udve')).toBe('"udve" is not one of its values; did you mean "udev"?');
  });
});

describe('lxcfs', () => {
  it('is "true" for the views of the policy', () => {
    expect(wants('lxcfs', 'true')).toEqual([{ views: undefined }]);
  });

  it('is a list of views, in whatever order', () => {
    expect(wants('lxcfs', 'uptime, meminfo,cpuinfo,meminfo')).toEqual([{ views: ['cpuinfo', 'meminfo', 'uptime'] }]);
    expect(wants('lxcfs', LXCFS_VIEW_NAMES.join(','))).toEqual([{ views: LXCFS_VIEW_NAMES }]);
  });

  it('suggests the view that was meant, and "true"', () => {
    expect(problem('lxcfs', 'memifno')).toBe('"memifno" is not one of its values; did you mean "meminfo"?');
    expect(problem('lxcfs', 'ture')).toMatch(/did you mean "true"\?$/);
    expect(problem('lxcfs', 'true,meminfo')).toMatch(/^"true" stands alone/);
    expect(problem('lxcfs', 'meminfo,')).toBe('expected "true", or views separated by commas; an item is empty');
  });
});

describe('dev', () => {
  it('is "true" for /host-dev, or a path', () => {
    expect(wants('dev', 'true')).toEqual([{ path: '/host-dev' }]);
    expect(wants('dev', '/mnt//dev/')).toEqual([{ path: '/mnt/dev' }]);
  });

  it.each([
    ['host-dev', 'expected "true" or a path; "host-dev" must be an absolute path'],
    ['/dev', 'expected "true" or a path; "/dev" would cover /dev, which no policy can allow'],
    ['/a,/b:c', 'expected "true" or a path; "/a,/b:c" must not contain ":" or control characters'],
  ])('is not %s', (value, expected) => {
    expect(problem('dev', value)).toBe(expected);
  });
});

describe('media', () => {
  it('is a list of class, class:path, class:path:ro and class:ro', () => {
    expect(wants('media', 'usb, sd:/mnt/sd/,cam:/c:ro , dvd:ro')).toEqual([
      { class: 'usb', path: '/media/usb', readOnly: false },
      { class: 'sd', path: '/mnt/sd', readOnly: false },
      { class: 'cam', path: '/c', readOnly: true },
      { class: 'dvd', path: '/media/dvd', readOnly: true },
    ]);
  });

  it('takes a class named ro for one', () => {
    expect(wants('media', 'ro')).toEqual([{ class: 'ro', path: '/media/ro', readOnly: false }]);
    expect(wants('media', 'ro:ro')).toEqual([{ class: 'ro', path: '/media/ro', readOnly: true }]);
  });

  it.each([
    ['usb:', /^expected "class", "class:path" or "class:path:ro" in place of "usb:"$/],
    ['usb::ro', /in place of "usb::ro"$/],
    [':/x', /in place of ":\/x"$/],
    ['usb:/x:rw', /in place of "usb:\/x:rw"$/],
    ['usb:x', /; "x" must be an absolute path$/],
    ['usb:/x/../../dev', /must not contain "\.\."$/],
    ['usb:/proc/bus', /"\/proc\/bus" would cover \/proc, which no policy can allow$/],
    ['true', /^"true" cannot be the name of a class: a DNS label/],
    ['USB', /^"USB" cannot be the name of a class/],
    ['usb,', /; an item is empty$/],
  ])('is not %s', (value, expected) => {
    expect(problem('media', value)).toMatch(expected);
  });
});

describe('devices', () => {
  it('are a list of class and class:path', () => {
    expect(wants('devices', 'serial,disk:/disks')).toEqual([
      { class: 'serial', path: '/dev/hotmount/serial' },
      { class: 'disk', path: '/disks' },
    ]);
  });

  it("are never read-only: what may be done with them is the policy's to say", () => {
    expect(problem('devices', 'serial:/x:ro')).toBe('expected "class" or "class:path" in place of "serial:/x:ro"');
    expect(problem('devices', 'serial:ro')).toMatch(/"ro" must be an absolute path$/);
  });
});

describe('propagation', () => {
  it('is a list of volume=mode', () => {
    expect(wants('propagation', 'data=HostToContainer, cache = None')).toEqual([
      { volume: 'data', mode: 'HostToContainer' },
      { volume: 'cache', mode: 'None' },
    ]);
  });

  it.each([
    ['data', /^expected "volume=mode" in place of "data", such as "data=HostToContainer"$/],
    ['data=', /in place of "data="/],
    ['=None', /in place of "=None"/],
    ['a=None=None', /in place of "a=None=None"/],
    ['a=None,b=None,a=HostToContainer', /^"a" is there twice$/],
    ['data=hosttocontainer', /^"hosttocontainer" is not one of its values; did you mean "HostToContainer"\?$/],
    ['data=rshared', /; expected None, HostToContainer, Bidirectional$/],
  ])('is not %s', (value, expected) => {
    expect(problem('propagation', value)).toMatch(expected);
  });
});

describe('a list of container names', () => {
  it('is names separated by commas, each once', () => {
    expect(parseNames(' app, db ,app,*')).toEqual({ names: ['app', 'db', '*'] });
  });

  it('is not empty, nor has it empty items', () => {
    expect(parseNames('')).toEqual({ problem: 'expected names, separated by commas; it is empty' });
    expect(parseNames('app,,db')).toEqual({ problem: 'expected names, separated by commas; an item is empty' });
  });
});

describe('the name of a class', () => {
  it.each(['usb', 'a', '0', 'usb-3', 'a'.repeat(40)])('may be %s', (name) => expect(isClassName(name)).toBe(true));
  it.each(['', '-a', 'a-', 'A', 'a.b', 'a_b', 'a/b', 'true', 'false', 'a\n', 'a'.repeat(41)])('may not be %j', (name) =>
    expect(isClassName(name)).toBe(false),
  );
});
