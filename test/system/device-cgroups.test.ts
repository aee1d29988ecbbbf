import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SYS } from '../../src/linux/constants.ts';
import { assemble, call, exit, set } from '../../src/linux/device-cgroup/assembler.ts';
import { attachProgram, loadDeviceProgram, ProgramRefused } from '../../src/linux/device-cgroup/bpf.ts';
import {
  type DeviceCgroup,
  DeviceGrants,
  type DeviceRule,
  deviceCgroupOf,
  type WantedGrant,
} from '../../src/linux/device-cgroup/index.ts';
import { programsOn, withDirectory } from '../../src/linux/device-cgroup/programs.ts';
import { libc } from '../../src/linux/libc.ts';
import { getAttribute } from '../../src/linux/xattr.ts';
import { Random } from '../random.ts';
import { SEED } from '../settings.ts';
import { makeCgroup, makeRestricted, restrict, rootOf } from './device-cgroup/cgroups.ts';
import { describeOn, describeOnEach } from './device-cgroup/describe-on.ts';
import { Asker } from './device-cgroup/questions.ts';
import { Rig } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

/** Not the default: a daemon on this machine is not to mind. */
const OWNER = 'hotmount_test';

const X = { type: 'block', major: 253, minor: 2 } as const;
const Y = { type: 'char', major: 188, minor: 300 } as const;
const may = (device: typeof X | typeof Y, access: DeviceRule['access'] = 'rw'): DeviceRule => ({ ...device, access });

/** What the answers on r, w and rw say. */
const accessOf = ([r, w, both]: readonly boolean[]): string => (both ? 'rw' : `${r ? 'r' : ''}${w ? 'w' : ''}`);

let rig: Rig;
let grants: DeviceGrants;

beforeEach(() => {
  rig = new Rig();
  grants = new DeviceGrants({ owner: OWNER });
});
afterEach(async () => {
  const left = new DeviceGrants({ owner: OWNER }).reconcile([]);
  await rig.close();
  expect([...left]).toEqual([]);
});

const grant = (...wanted: readonly [cgroup: DeviceCgroup, ...rules: DeviceRule[]][]): string[] =>
  [...grants.reconcile(wanted.map(([cgroup, ...rules]) => ({ cgroup, rules }))).values()].map((outcome) =>
    outcome.state === 'refused' ? outcome.reason : outcome.state,
  );

describeSystem('device grants', [], () => {
  describeOnEach((version) => {
    const ask = (cgroup: DeviceCgroup): Promise<Asker> => Asker.start(rig, cgroup.path);
    let pod: string;
    beforeEach(() => {
      pod = makeCgroup(rig, version);
    });

    it('are for one access to one device in one cgroup', async () => {
      const [a, b] = [makeRestricted(version, `${pod}/a`), makeRestricted(version, `${pod}/b`)];
      const [inA, inB] = [await ask(a), await ask(b)];
      expect(grant([a, may(X, 'r'), may(Y, 'w')])).toEqual(['granted']);
      expect([await inA.access(X), await inA.access(Y)]).toEqual(['r', 'w']);
      expect([await inB.access(X), await inB.access(Y)]).toEqual(['', '']);
      for (const other of [
        { ...X, type: 'char' as const },
        { ...X, minor: 3 },
        { ...X, major: 2 },
      ]) {
        expect(await inA.access(other)).toBe('');
      }
      expect([...grants.granted()]).toEqual([[a.path, [may(X, 'r'), may(Y, 'w')]]]);
    });

    it('of several unite, and become less and more as it is wanted', async () => {
      const a = makeRestricted(version, `${pod}/a`);
      const inA = await ask(a);
      expect(grant([a, may(X, 'r')], [a, may(X, 'w')])).toEqual(['granted']);
      expect(await inA.access(X)).toBe('rw');
      for (const access of ['w', 'r', 'rw', 'w'] as const) {
        expect(grant([a, may(X, access)])).toEqual(['granted']);
        expect(await inA.access(X)).toBe(access);
      }
      expect(grant()).toEqual([]);
      expect(await inA.access(X)).toBe('');
      expect([...grants.granted()]).toEqual([]);
    });

    it('change nothing where they are as they should be', () => {
      const a = makeRestricted(version, `${pod}/a`);
      const now = () =>
        version === 2 ? withDirectory(pod, programsOn) : getAttribute(a.path, `trusted.${OWNER}.devices`);
      grant([a, may(X), may(Y, 'r')]);
      const before = now();
      expect(grant([a, may(Y, 'r'), may(X)])).toEqual(['granted']);
      expect(now()).toEqual(before);
    });

    it('of nothing are none', () => {
      const a = makeRestricted(version, `${pod}/a`);
      expect(grant([a])).toEqual(['unneeded']);
      if (version === 2) expect(withDirectory(pod, programsOn)).toEqual([]);
    });

    it('are found and taken back by the next daemon', async () => {
      const [a, b] = [makeRestricted(version, `${pod}/a`), makeRestricted(version, `${pod}/b`)];
      const [inA, inB] = [await ask(a), await ask(b)];
      grant([a, may(X), may(Y)], [b, may(X)]);
      grants = new DeviceGrants({ owner: OWNER });
      expect(Object.fromEntries(grants.granted())).toEqual({ [a.path]: [may(X), may(Y)], [b.path]: [may(X)] });
      expect(grant([a, may(Y, 'r')])).toEqual(['granted']);
      expect([await inA.access(X), await inA.access(Y), await inB.access(X)]).toEqual(['', 'r', '']);
    });

    it('of another owner are left alone', async () => {
      const a = makeRestricted(version, `${pod}/a`);
      const inA = await ask(a);
      const other = new DeviceGrants({ owner: 'hotmount_other' });
      other.reconcile([{ cgroup: a, rules: [may(X)] }]);
      expect(grant([a, may(Y)])).toEqual(['granted']);
      expect(grant()).toEqual([]);
      expect([await inA.access(X), await inA.access(Y)]).toEqual(['rw', '']);
      other.reconcile([]);
      expect(await inA.access(X)).toBe('');
    });

    it('of cgroups that have gone trouble nobody', async () => {
      const [a, b] = [makeRestricted(version, `${pod}/a`), makeRestricted(version, `${pod}/b`)];
      const inB = await ask(b);
      grant([a, may(X)], [b, may(X)]);
      rmdirSync(a.path);
      expect(grant([a, may(X)], [b, may(Y)]).sort()).toEqual(['cgroup_gone', 'granted']);
      expect([await inB.access(X), await inB.access(Y)]).toEqual(['', 'rw']);
      const again = makeRestricted(version, `${pod}/a`);
      expect(await (await ask(again)).access(X)).toBe('');
      expect([...grants.granted().keys()]).toEqual([b.path]);
    });

    it('are refused where a cgroup that others share restricts, and nothing is opened', async () => {
      const shared = makeRestricted(version, `${pod}/kubepods-pod0f0e1d2c_1111_2222_3333_444455556666.slice`);
      const a = makeRestricted(version, `${shared.path}/a`);
      const b = makeRestricted(version, `${pod}/b`);
      const [inA, inB] = [await ask(a), await ask(b)];
      expect(grant([a, may(X)], [b, may(X)]).sort()).toEqual(['granted', 'parent_restricts']);
      expect([await inA.access(X), await inB.access(X)]).toEqual(['', 'rw']);
      expect(deviceCgroupOf(inA.pid)?.path).toBe(a.path);
      expect([...grants.granted().keys()]).toEqual([b.path]);
    });

    it('are not made where nothing restricts', async () => {
      mkdirSync(`${pod}/free`);
      const free = { version, path: `${pod}/free` };
      expect(grant([free, may(X)])).toEqual(['unneeded']);
      expect(grant()).toEqual([]);
      expect(await (await ask(free)).access(X)).toBe('rw');
      if (version === 1) expect(readFileSync(`${free.path}/devices.list`, 'utf8')).toBe('a *:* rwm\n');
    });

    it(`are at each rest what was wanted last, whoever comes and goes (seed ${SEED})`, async () => {
      const random = new Random(SEED);
      const [count, numbers, rounds] = SOAK ? [30, 20, 500] : [8, 6, 20];
      const devices = Array.from({ length: numbers }, (_, i) => ({
        type: random.pick(['char', 'block'] as const),
        major: 240,
        minor: i,
      }));
      // Some side by side in a pod, some in one each, on several levels.
      const places = Array.from({ length: count }, (_, i) => `${pod}/${random.pick(['p', 'q', 'q/r'])}${i % 3}/c${i}`);
      const cgroups = places.map((path) => makeRestricted(version, path));
      const asker = await ask(cgroups[0] as DeviceCgroup);
      for (let round = 0; round < rounds; round++) {
        if (random.percent(30)) {
          const { path } = random.pick(cgroups);
          asker.enter(pod);
          rmdirSync(path);
          makeRestricted(version, path);
        }
        const wanted = cgroups
          .filter(() => random.percent(60))
          .map((cgroup) => {
            const some = devices.filter(() => random.percent(40));
            return {
              cgroup,
              rules: some.map((device) => ({ ...device, access: random.pick(['r', 'w', 'rw'] as const) })),
            };
          });
        if (random.percent(30)) grants = new DeviceGrants({ owner: OWNER });
        for (const { state } of grants.reconcile(wanted).values()) expect(state).toMatch(/granted|unneeded/);
        for (const cgroup of cgroups) {
          asker.enter(cgroup.path);
          const rules = wanted.find((of) => of.cgroup === cgroup)?.rules ?? [];
          const answers = await asker.ask(
            devices.flatMap((device) => (['r', 'w', 'rw'] as const).map((access) => ({ ...device, access }))),
          );
          const may = devices.flatMap((device, i) => {
            const access = accessOf(answers.slice(i * 3, i * 3 + 3));
            return access ? [{ ...device, access }] : [];
          });
          expect(may).toEqual(rules);
        }
      }
    });

    it('are made whole whenever the daemon is killed, and never to two at once', async () => {
      const [a, b] = [makeRestricted(version, `${pod}/a`), makeRestricted(version, `${pod}/one/b`)];
      if (version === 1) {
        writeFileSync(`${pod}/one/b/devices.allow`, 'c 188:300 r');
      }
      const [inA, inB] = [await ask(a), await ask(b)];
      const look = async () => ({
        a: [await inA.access(X), await inA.access(Y)],
        b: [await inB.access(X), await inB.access(Y)],
      });
      const had = await look();
      const before: WantedGrant[] = [{ cgroup: a, rules: [may(X), may(Y, 'r')] }];
      const after: WantedGrant[] = [
        { cgroup: a, rules: [may(Y)] },
        { cgroup: b, rules: [may(X, 'r'), may(Y)] },
      ];
      let survived = false;
      let n = 0;
      for (; !survived; n++) {
        new DeviceGrants({ owner: OWNER }).reconcile(before);
        const script = join(import.meta.dirname, 'device-cgroup/reconcile-once.ts');
        const { signal, status, stderr } = spawnSync(process.execPath, [
          script,
          OWNER,
          String(n),
          JSON.stringify(after),
        ]);
        survived = signal === null;
        if (survived) expect([status, String(stderr)]).toEqual([0, '']);
        const killed = await look();
        // A device's number is never with the one it was taken from and the one it is given to.
        expect(killed.a[0] === '' || killed.b[0] === '', `killed before call ${n}: ${JSON.stringify(killed)}`).toBe(
          true,
        );
        expect(['r', 'rw', ...(survived ? [] : [''])]).toContain(killed.a[1]);
        if (had.b[1] === 'r') expect(killed.b[1]).toMatch(/^r/);

        const next = new DeviceGrants({ owner: OWNER });
        expect([...next.reconcile(after).values()]).toEqual([{ state: 'granted' }, { state: 'granted' }]);
        expect(await look(), `killed before call ${n}`).toEqual({ a: ['', 'rw'], b: ['r', 'rw'] });
        expect([...new DeviceGrants({ owner: OWNER }).reconcile([])]).toEqual([]);
        expect(await look(), `killed before call ${n}`).toEqual(had);
      }
      expect(n).toBeGreaterThan(6);
    });
  });
});

describeSystem('device grants', [], () => describeOn(1, 'on cgroup v1 only', onV1));
describeSystem('device grants', [], () => describeOn(2, 'on cgroup v2 only', onV2));

function onV1(): void {
  const listOf = ({ path }: DeviceCgroup) => readFileSync(`${path}/devices.list`, 'utf8').trim().split('\n').sort();
  const allow = ({ path }: DeviceCgroup, line: string) => writeFileSync(`${path}/devices.allow`, line);
  let a: DeviceCgroup;
  beforeEach(() => {
    a = makeRestricted(1, `${makeCgroup(rig, 1)}/a`);
  });

  it('leave what was there before', async () => {
    allow(a, 'b 253:2 rm');
    allow(a, 'c 188:* r');
    const before = listOf(a);
    const inA = await Asker.start(rig, a.path);
    expect(grant([a, may(X), may(Y)])).toEqual(['granted']);
    expect(listOf(a)).toEqual(['b 253:2 rwm', 'c 188:* r', 'c 188:300 rw']);
    expect(await inA.ask([{ ...Y, access: 'rw' }])).toEqual([true]);
    expect(grant([a, may(X, 'r'), may(Y, 'r')])).toEqual(['unneeded']);
    expect(listOf(a)).toEqual(before);
    expect(getAttribute(a.path, `trusted.${OWNER}.devices`)).toBeUndefined();
  });

  it('that a wildcard covers are unneeded, and it stays', () => {
    allow(a, 'b *:* rwm');
    expect(grant([a, may(X)])).toEqual(['unneeded']);
    expect(grant()).toEqual([]);
    expect(listOf(a)).toEqual(['b *:* rwm']);
  });

  it('are made again where the runtime has written the list anew, and forgotten where it gives them itself', () => {
    grant([a, may(X)]);
    writeFileSync(`${a.path}/devices.deny`, 'a');
    expect(grant([a, may(X)])).toEqual(['granted']);
    expect(listOf(a)).toEqual(['b 253:2 rw']);
    allow(a, 'b *:* rw');
    expect(grant([a, may(X)])).toEqual(['unneeded']);
    expect(listOf(a)).toEqual(['b *:* rw']);
  });

  it('that become more than the cgroup above has are refused, and those that were there are taken back all the same', () => {
    const above = makeCgroup(rig, 1);
    restrict(1, above);
    allow({ version: 1, path: above }, 'b 253:2 r');
    const below = makeRestricted(1, `${above}/below`);
    expect(grant([below, may(X, 'r')])).toEqual(['granted']);
    expect(grant([below, may(X, 'rw')])).toEqual(['parent_restricts']);
    expect(listOf(below)).toEqual(['b 253:2 r']);
    expect(grant()).toEqual([]);
    expect(listOf(below)).toEqual(['']);
    expect(getAttribute(below.path, `trusted.${OWNER}.devices`)).toBeUndefined();
  });

  it('cut nobody off who was given everything since', () => {
    grant([a, may(X)]);
    allow(a, 'a');
    expect(grant()).toEqual([]);
    expect(listOf(a)).toEqual(['a *:* rwm']);
    expect(getAttribute(a.path, `trusted.${OWNER}.devices`)).toBeUndefined();
  });

  it('reach the cgroups made later in the container, and are taken back there too', async () => {
    grant([a, may(X)]);
    mkdirSync(`${a.path}/inner`);
    const inner = await Asker.start(rig, `${a.path}/inner`);
    expect(await inner.access(X)).toBe('rw');
    grant();
    expect(await inner.access(X)).toBe('');
  });
}

function onV2(): void {
  let pod: string;
  beforeEach(() => {
    pod = makeCgroup(rig, 2);
  });
  const programs = (path: string) => withDirectory(path, programsOn).map(({ name }) => name);

  it('are for the whole container, also where it restricts parts of itself', async () => {
    const outer = makeRestricted(2, `${pod}/container`);
    makeRestricted(2, `${outer.path}/system.slice/foo.service`);
    const asker = await Asker.start(rig, `${outer.path}/system.slice/foo.service`);
    expect(deviceCgroupOf(asker.pid)).toEqual(outer);
    expect(grant([outer, may(X)])).toEqual(['granted']);
    expect(await asker.access(X)).toBe('rw');
    expect([programs(pod), programs(outer.path)]).toEqual([[OWNER], ['deny_all']]);
    grant();
    expect(await asker.access(X)).toBe('');
    expect(programs(pod)).toEqual([]);
  });

  it('survive that the runtime attaches its program anew', async () => {
    const a = makeRestricted(2, `${pod}/a`);
    const asker = await Asker.start(rig, a.path);
    grant([a, may(X)]);
    restrict(2, a.path);
    expect(await asker.access(X)).toBe('rw');
    expect(await asker.access(Y)).toBe('');
  });

  it('are taken back where something above comes to restrict, and made again when it does not', async () => {
    const a = makeRestricted(2, `${pod}/group/sub/a`);
    const asker = await Asker.start(rig, a.path);
    expect(grant([a, may(X)])).toEqual(['granted']);
    const program = restrict(2, `${pod}/group`);
    expect(grant([a, may(X)])).toEqual(['parent_restricts']);
    expect([...grants.granted()]).toEqual([]);
    program?.detach();
    expect(grant([a, may(X)])).toEqual(['granted']);
    expect(await asker.access(X)).toBe('rw');
  });

  it('are taken back also where the kernel takes no program any more, rather all than none', async () => {
    const a = makeRestricted(2, `${pod}/a`);
    const asker = await Asker.start(rig, a.path);
    grant([a, may(X), may(Y)]);
    const { syscall } = libc;
    // Loading a program is command 5 of bpf(2): one that there is not fails as it should.
    const failing: unknown = Object.assign(
      (number: number, type: string, command: number, ...rest: unknown[]) =>
        Reflect.apply(syscall, undefined, [number, type, command === 5 ? 9999 : command, ...rest]),
      syscall,
    );
    libc.syscall = failing as typeof syscall;
    try {
      expect(grant([a, may(Y)])).toEqual(['bpf_refused']);
    } finally {
      libc.syscall = syscall;
    }
    expect([await asker.access(X), await asker.access(Y)]).toEqual(['', '']);
    expect(grant([a, may(Y)])).toEqual(['granted']);
    expect([await asker.access(X), await asker.access(Y)]).toEqual(['', 'rw']);
  });

  it('are one program a parent, and one for all parents at a level', () => {
    const cgroups = ['p/a', 'p/b', 'q/a', 'r/s/a'].map((name) => makeRestricted(2, `${pod}/${name}`));
    grant(...cgroups.map((cgroup): [DeviceCgroup, DeviceRule] => [cgroup, may(X)]));
    const idOn = (name: string) => withDirectory(`${pod}/${name}`, programsOn).map(({ id }) => id);
    expect([idOn('p'), idOn('q'), idOn('r/s')].map((ids) => ids.length)).toEqual([1, 1, 1]);
    expect(idOn('q')).toEqual(idOn('p'));
    expect(idOn('r/s')).not.toEqual(idOn('p'));
  });

  it('are refused beside a program that stays alone, and elsewhere made', async () => {
    const a = makeRestricted(2, `${pod}/alone/a`);
    const b = makeRestricted(2, `${pod}/b`);
    const lone = loadDeviceProgram('hotmount_lone', assemble([set(0, 1), exit()]));
    withDirectory(`${pod}/alone`, (fd) => {
      // BPF_PROG_ATTACH without a flag.
      const attributes = Buffer.alloc(168);
      for (const [i, value] of [fd, lone, 6].entries()) attributes.writeUInt32LE(value, i * 4);
      expect(Number(libc.syscall(SYS.bpf, 'int', 8, 'void *', attributes, 'uint', attributes.length))).toBe(0);
    });
    closeSync(lone);
    expect(grant([a, may(X)], [b, may(X)])).toEqual(expect.arrayContaining(['programs_exclusive', 'granted']));
    expect(programs(`${pod}/alone`)).toEqual(['hotmount_lone']);
    expect([...grants.granted().keys()]).toEqual([b.path]);
  });

  it('replace the program of another version', async () => {
    const a = makeRestricted(2, `${pod}/a`);
    const asker = await Asker.start(rig, a.path);
    grant([a, may(X)]);
    const [ours] = withDirectory(pod, programsOn);
    const older = loadDeviceProgram(OWNER, assemble([set(0, 1), exit()]));
    grant();
    withDirectory(pod, (fd) => attachProgram(fd, older));
    closeSync(older);
    grants = new DeviceGrants({ owner: OWNER });
    expect(grant([a, may(X)])).toEqual(['granted']);
    expect(withDirectory(pod, programsOn).map(({ name, tag }) => [name, tag])).toEqual([[OWNER, ours?.tag]]);
    expect(await asker.access(X)).toBe('rw');
  });

  it('find how deep they are also from a cgroup namespace, where the paths begin in the middle', async () => {
    const a = makeRestricted(2, `${pod}/node/pods/a`);
    const asker = await Asker.start(rig, a.path);
    const script = `
      import { DeviceGrants } from '${join(import.meta.dirname, '../../src/linux/device-cgroup/index.ts')}';
      const [directory, owner] = process.argv.slice(1);
      const grants = new DeviceGrants({ owner, hierarchies: { v2: { directory, root: '/' } } });
      const cgroup = { version: 2, path: directory + '/pods/a' };
      console.log(JSON.stringify([...grants.reconcile([{ cgroup, rules: [${JSON.stringify(may(X))}] }])]));`;
    mkdirSync(rig.path('view'));
    mkdirSync(`${pod}/node/daemon`);
    // The namespace's root is the cgroup it is made in; only then does this process go on, further below.
    const shell = `echo $$ > ${pod}/node/cgroup.procs && exec unshare -C -m sh -c 'echo $$ > ${pod}/node/daemon/cgroup.procs && mount -t cgroup2 cgroup2 ${rig.path('view')} && exec "$@"' sh "$@"`;
    const output = execFileSync(
      'sh',
      ['-c', shell, 'sh', process.execPath, '--input-type=module', '-e', script, rig.path('view'), OWNER],
      { encoding: 'utf8' },
    );
    expect(JSON.parse(output)).toEqual([[`${rig.path('view')}/pods/a`, { state: 'granted' }]]);
    expect(programs(`${pod}/node/pods`)).toEqual([OWNER]);
    expect(await asker.access(X)).toBe('rw');
    expect(Object.fromEntries(grants.granted())).toEqual({ [a.path]: [may(X)] });
  });

  it('name what a kernel lacks in words of its verifier', () => {
    // No kernel has this helper: those without ours say the same of them.
    const tooNew = assemble([call(9999), set(0, 1), exit()]);
    expect(() => loadDeviceProgram('hotmount_new', tooNew)).toThrow(ProgramRefused);
    expect(() => loadDeviceProgram('hotmount_new', tooNew)).toThrow(/(invalid|unknown) func/);
  });
}

describeSystem('the cgroup of a process', [], () => {
  describeOnEach((version) => {
    it('is nobody else’s: none in the root, and not the pod’s', async () => {
      const pod = `${makeCgroup(rig, version)}/pod0f0e1d2c-1111-2222-3333-444455556666`;
      mkdirSync(pod);
      const asker = await Asker.start(rig, pod);
      expect(deviceCgroupOf(asker.pid)).toBeUndefined();
      const container = makeRestricted(version, `${pod}/a`);
      writeFileSync(`${container.path}/cgroup.procs`, String(asker.pid));
      expect(deviceCgroupOf(asker.pid)).toEqual(container);
      writeFileSync(`${rootOf(version)}/cgroup.procs`, String(asker.pid));
      expect(deviceCgroupOf(asker.pid)).toBeUndefined();
      expect(deviceCgroupOf(2 ** 22 + 1)).toBeUndefined();
    });
  });
});
