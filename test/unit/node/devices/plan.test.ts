import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Device } from '../../../../src/linux/device.ts';
import { uniteRules } from '../../../../src/linux/device-cgroup/rule.ts';
import type { Actual, ActualNode } from '../../../../src/node/devices/actual.ts';
import { classesInTable } from '../../../../src/node/devices/containers.ts';
import { type Desired, desire } from '../../../../src/node/devices/desired.ts';
import { desireGrants } from '../../../../src/node/devices/desired-grants.ts';
import { classesOf } from '../../../../src/node/devices/match.ts';
import { plan } from '../../../../src/node/devices/plan.ts';
import type { DeviceClass } from '../../../../src/policy/index.ts';
import { devices, makeClass, makeDevice } from './arbitraries.ts';

const FACTS = { isFixed: false, properties: new Map<string, string>() };
const NOTHING: Actual = { nodes: new Map(), links: new Map() };

const CLASSES = fc.subarray([
  makeClass('usb', [{ bus: ['usb'] }]),
  makeClass('usb-read', [{ bus: ['usb'] }], { access: 'r', mode: 0o440 }),
  makeClass('input', [{ devname: ['input/*'] }]),
  makeClass('pci', [{ bus: ['pci'], vendor: ['A*'] }], { gid: 5 }),
]);

const desiredOf = (list: readonly Device[], classes: readonly DeviceClass[]): Desired =>
  desire(list.map((device) => ({ device, classes: classesOf(classes, device, FACTS), links: linksOf(device) })));

/** As rules make them of what devices say of themselves, theirs among them. */
const linksOf = ({ model, port }: Device): string[] => [`serial/by-id/${model}`, `by-id/${port}`, model];

/** What carrying a plan out makes of what is there. */
function carryOut(
  actual: Actual,
  { removedNodes, removedLinks, made, adjusted, linked }: ReturnType<typeof plan>,
): Actual {
  const nodes = new Map(actual.nodes);
  const links = new Map(actual.links);
  for (const { path } of removedNodes) nodes.delete(path);
  for (const path of removedLinks) links.delete(path);
  for (const { path, device, deviceClass } of [...made, ...adjusted]) {
    const { type, major, minor, identity } = device;
    const { mode, uid, gid } = deviceClass;
    const node: ActualNode = { path, type, major, minor, mode, uid, gid, record: { identity, since: '' } };
    nodes.set(path, node);
  }
  for (const [path, target] of linked) links.set(path, target);
  return { nodes, links };
}

describe('the plan', () => {
  it('makes any state the desired one, in one go, and then has nothing to do', () => {
    fc.assert(
      fc.property(devices, CLASSES, devices, CLASSES, (before, classesBefore, after, classesAfter) => {
        const start = carryOut(NOTHING, plan(desiredOf(before, classesBefore), NOTHING));
        const desired = desiredOf(after, classesAfter);
        const end = carryOut(start, plan(desired, start));
        expect([...end.nodes.keys()].sort()).toEqual([...desired.nodes.keys()].sort());
        expect(Object.fromEntries(end.links)).toEqual(Object.fromEntries(desired.links));
        const { kept, ...rest } = plan(desired, end);
        expect(Object.values(rest)).toEqual([[], [], [], [], []]);
      }),
    );
  });

  it('removes the node of a device that has gone before it makes one for another with its number', () => {
    const classes = [makeClass('usb', [{ bus: ['usb'] }])];
    const start = carryOut(NOTHING, plan(desiredOf([makeDevice()], classes), NOTHING));
    const step = plan(desiredOf([makeDevice({ identity: '2000' })], classes), start);
    expect(step.removedNodes.map(({ path }) => path)).toEqual(['usb/ttyUSB0']);
    expect(step.made.map(({ path }) => path)).toEqual(['usb/ttyUSB0']);
    expect(step.kept.size).toBe(0);
  });

  it('has nothing to do with the others when a device comes, goes and comes back as another', () => {
    const ups = makeDevice({
      name: 'usb/hiddev9',
      minor: 99,
      vendor: 'APC',
      model: 'Back-UPS',
      serial: 'UPS-1',
      port: 'UPS',
    });
    const again = { ...ups, name: 'usb/hiddev8', minor: 98, identity: '9999' };
    fc.assert(
      fc.property(devices, CLASSES, fc.nat(), (others, classes, at) => {
        const withOne = (one: Device) => desiredOf(others.toSpliced(at % (others.length + 1), 0, one), classes);
        let actual = carryOut(NOTHING, plan(desiredOf(others, classes), NOTHING));
        for (const desired of [withOne(ups), desiredOf(others, classes), withOne(again)]) {
          const step = plan(desired, actual);
          const touched = [...step.removedNodes, ...step.made, ...step.adjusted].map(({ path }) => path);
          expect(touched.filter((path) => !path.includes('/usb/hiddev'))).toEqual([]);
          const links = [...step.removedLinks, ...step.linked.map(([path]) => path)];
          expect(links.filter((path) => !path.includes('UPS'))).toEqual([]);
          actual = carryOut(actual, step);
        }
      }),
    );
  });

  it('removes what is not of our making', () => {
    const classes = [makeClass('usb', [{ bus: ['usb'] }])];
    const start = carryOut(NOTHING, plan(desiredOf([makeDevice()], classes), NOTHING));
    const foreign = new Map([...start.nodes].map(([path, node]) => [path, { ...node, record: undefined }]));
    expect(plan(desiredOf([makeDevice()], classes), { ...start, nodes: foreign }).made).toHaveLength(1);
  });
});

describe('what containers are to have', () => {
  const cgroup = (path: string) => [path, { version: 1, path }] as const;

  it('is each device of each class that they mount, with its access, and nothing else', () => {
    fc.assert(
      fc.property(
        devices,
        CLASSES,
        fc.array(fc.tuple(fc.subarray(['usb', 'usb-read', 'pci', 'gone']), fc.subarray(['/a', '/b', '/c'])), {
          maxLength: 5,
        }),
        (list, classes, containers) => {
          const desired = desiredOf(list, classes);
          const mounters = containers.map(([mounted, paths]) => ({
            classes: new Set(mounted),
            cgroups: new Map(paths.map(cgroup)),
          }));
          const { rules, grants } = desireGrants(mounters, desired.nodes.values());
          for (const path of ['/a', '/b', '/c']) {
            const mine = containers.filter(([, paths]) => paths.includes(path)).flatMap(([mounted]) => mounted);
            const expected = classes
              .filter(({ name }) => mine.includes(name))
              .flatMap((deviceClass) =>
                list
                  .filter(
                    (device) =>
                      desired.nodes.get(`${deviceClass.name}/${device.name}`)?.device === device ||
                      classesOf([deviceClass], device, FACTS).length > 0,
                  )
                  .filter((device) =>
                    [...desired.nodes.values()].some(
                      (node) => node.device === device && node.deviceClass === deviceClass,
                    ),
                  )
                  .map(({ type, major, minor }) => ({ type, major, minor, access: deviceClass.access })),
              );
            const granted = rules.filter((each) => each.cgroup.path === path);
            expect(granted.length).toBeLessThanOrEqual(1);
            expect(uniteRules(granted.flatMap(({ rules }) => rules))).toEqual(uniteRules(expected));
            expect(grants.filter((grant) => grant.cgroup === path).length).toBe(expected.length);
          }
        },
      ),
    );
  });
});

describe('a class for one container at a time', () => {
  const exclusive = makeClass('usb', [{ bus: ['usb'] }], { maxContainers: 1 });
  const { nodes } = desiredOf([makeDevice()], [exclusive]);
  const mounter = (path: string) => ({
    classes: new Set(['usb']),
    cgroups: new Map([[path, { version: 2, path } as const]]),
  });
  const madeAt = (path: string): bigint => BigInt(path.slice(1));
  const holders = (paths: readonly string[]): string[] => {
    const { rules } = desireGrants(paths.map(mounter), nodes.values(), madeAt);
    return rules.filter((each) => each.rules.length > 0).map((each) => each.cgroup.path);
  };

  it('is had by the one that was made first, in whatever order they are found, and then by the next', () => {
    expect(holders(['/7', '/3', '/5'])).toEqual(['/3']);
    expect(holders(['/5', '/7'])).toEqual(['/5']);
    expect(holders(['/7'])).toEqual(['/7']);
  });

  it('tells the others whom they wait for', () => {
    const { grants } = desireGrants(['/7', '/3'].map(mounter), nodes.values(), madeAt);
    expect(grants.map(({ cgroup, waitsFor }) => [cgroup, waitsFor])).toEqual([
      ['/7', ['/3']],
      ['/3', undefined],
    ]);
  });
});

describe('the classes in a mount table', () => {
  const line = (device: string, root: string, at = '/x'): string =>
    `36 35 ${device} ${root} ${at} ro,relatime shared:7 - tmpfs hotmount rw`;
  const table = (...lines: string[]): string => `${lines.join('\n')}\n`;

  it('are those whose own directory is mounted, from this run dir', () => {
    const text = table(
      line('0:55', '/devices/serial', '/dev/hotmount/serial'),
      line('0:55', '/devices/raw', '/with\\040space'),
      line('0:55', '/devices/raw'),
      line('0:55', '/devices'),
      line('0:55', '/'),
      line('0:55', '/devices/deep/by-id'),
      line('0:56', '/devices/other'),
      line('0:5', '/devices/five'),
      line('0:55', '/media/usb'),
      '37 35 0:57 / /0:55 ro - tmpfs /devices/liar rw',
    );
    expect([...classesInTable(text, '0:55')].sort()).toEqual(['raw', 'serial']);
    expect(classesInTable(text, '0:99').size).toBe(0);
  });

  it('are those of a live pod in its own container, and not where all live pods are seen', () => {
    const own = [line('0:55', '/live/a-1', '/hotmount'), line('0:55', '/devices/raw', '/hotmount/devices/raw')];
    expect([...classesInTable(table(...own), '0:55')]).toEqual(['raw']);
    const all = [
      line('0:55', '/', '/run/hotmount'),
      line('0:55', '/devices/raw', '/run/hotmount/live/a-1/devices/raw'),
    ];
    expect(classesInTable(table(...all), '0:55').size).toBe(0);
    const live = [line('0:55', '/live', '/mnt'), line('0:55', '/devices/raw', '/mnt/a-1/devices/raw')];
    expect(classesInTable(table(...live), '0:55').size).toBe(0);
    expect([...classesInTable(table(...all, line('0:55', '/devices/serial', '/dev/serial')), '0:55')]).toEqual([
      'serial',
    ]);
  });

  it('cannot be claimed by the name of a mount point or source', () => {
    const text = table(
      '36 35 0:57 /x / ro - tmpfs 0:55\\040/devices/serial rw',
      line('0:57', '/devices/serial', '/0:55'),
    );
    expect(classesInTable(text, '0:55').size).toBe(0);
  });
});
