import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SYS } from '../../src/linux/constants.ts';
import { assemble, exit, set } from '../../src/linux/device-cgroup/assembler.ts';
import { detachProgram, loadDeviceProgram } from '../../src/linux/device-cgroup/bpf.ts';
import { type DeviceCgroup, DeviceGrants, type DeviceRule } from '../../src/linux/device-cgroup/index.ts';
import { programsOn, withDirectory, withProgram } from '../../src/linux/device-cgroup/programs.ts';
import { libc } from '../../src/linux/libc.ts';
import { makeCgroup, makeRestricted } from './device-cgroup/cgroups.ts';
import { describeOn, describeOnEach } from './device-cgroup/describe-on.ts';
import { Asker } from './device-cgroup/questions.ts';
import { Rig } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const OWNER = 'hotmount_test';
const X: DeviceRule = { type: 'block', major: 253, minor: 2, access: 'rw' };
const Y: DeviceRule = { type: 'char', major: 188, minor: 300, access: 'r' };
const { EMFILE, EPERM } = constants.errno;
/** Commands of bpf(2). */
const QUERY = 16;
const LOAD = 5;
const ATTACH = 8;

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(async () => {
  const left = new DeviceGrants({ owner: OWNER }).reconcile([]);
  await rig.close();
  expect([...left]).toEqual([]);
});

const stateOf = (grants: DeviceGrants, cgroup: DeviceCgroup, ...rules: DeviceRule[]): string[] =>
  [...grants.reconcile([{ cgroup, rules }])].map(([, outcome]) =>
    outcome.state === 'refused' ? outcome.reason : outcome.state,
  );

/** Has some of a call of libc fail, for as long as `body` runs. */
function whileFailing<T>(
  name: 'syscall' | 'lgetxattr',
  errno: number,
  fails: (...args: unknown[]) => boolean,
  body: () => T,
): T {
  const real = libc[name];
  const failing: unknown = Object.assign((...args: unknown[]) => {
    if (!fails(...args)) return Reflect.apply(real, undefined, args);
    koffi.errno(errno);
    return -1;
  }, real);
  Object.assign(libc, { [name]: failing });
  try {
    return body();
  } finally {
    Object.assign(libc, { [name]: real });
  }
}

describeSystem('device grants, where looking for those of an earlier daemon fails', [], () => {
  describeOnEach((version) => {
    it('are not taken for none: that is said, and they are taken back when it can be seen', async () => {
      const pod = makeCgroup(rig, version);
      const a = makeRestricted(version, `${pod}/a`);
      const asker = await Asker.start(rig, a.path);
      expect(stateOf(new DeviceGrants({ owner: OWNER }), a, X)).toEqual(['granted']);

      const next = new DeviceGrants({ owner: OWNER });
      const fails = (...args: unknown[]): boolean =>
        version === 1 ? args[0] === a.path : args[1] === 'int' && args[2] === QUERY;
      const outcomes = whileFailing(version === 1 ? 'lgetxattr' : 'syscall', EMFILE, fails, () => [
        ...next.reconcile([]),
      ]);
      expect(outcomes.map(([, outcome]) => outcome)).toEqual([
        expect.objectContaining({ state: 'refused', reason: 'revoke_failed' }),
      ]);
      expect(await asker.access(X)).toBe('rw');

      expect([...next.reconcile([])]).toEqual([]);
      expect(await asker.access(X)).toBe('');
    });
  });
});

describeSystem('device grants', [], () =>
  describeOn(2, 'on cgroup v2, in trouble', () => {
    let pod: string;
    let a: DeviceCgroup;
    beforeEach(() => {
      pod = makeCgroup(rig, 2);
      a = makeRestricted(2, `${pod}/a`);
    });

    it.each([
      ['has been detached everywhere', false],
      ['is still attached elsewhere', true],
    ])('are made although the program to be replaced %s', async (_, isElsewhere) => {
      const asker = await Asker.start(rig, a.path);
      const grants = new DeviceGrants({ owner: OWNER });
      // One program serves both parents.
      const other = makeRestricted(2, `${isElsewhere ? makeCgroup(rig, 2) : pod}/b`);
      grants.reconcile([a, other].map((cgroup) => ({ cgroup, rules: [X] })));
      let isDetached = false;
      // In the moment between the look and the change.
      const detachFirst = (number: unknown, type: unknown, command: unknown): boolean => {
        if (command === LOAD && type === 'int' && !isDetached) {
          isDetached = true;
          withDirectory(pod, (fd) => {
            for (const { id, name } of programsOn(fd)) {
              if (name === OWNER) withProgram(id, (program) => detachProgram(fd, program));
            }
          });
        }
        return number === undefined;
      };
      const states = whileFailing('syscall', 0, detachFirst, () => stateOf(grants, a, X, Y));
      expect(states).toEqual(['granted']);
      expect(isDetached).toBe(true);
      expect([await asker.access(X), await asker.access(Y)]).toEqual(['rw', 'r']);
    });

    it('blame no other program for EPERM where none is in the way', () => {
      const isAttach = (...args: unknown[]): boolean => args[1] === 'int' && args[2] === ATTACH;
      const grants = new DeviceGrants({ owner: OWNER });
      expect(whileFailing('syscall', EPERM, isAttach, () => stateOf(grants, a, X))).toEqual(['bpf_refused']);
      expect(stateOf(grants, a, X)).toEqual(['granted']);
    });

    it('name the program that stays alone, also further above', () => {
      const deep = makeRestricted(2, `${pod}/alone/group/a`);
      const lone = loadDeviceProgram('hotmount_lone', assemble([set(0, 1), exit()]));
      withDirectory(`${pod}/alone`, (fd) => {
        const attributes = Buffer.alloc(168);
        for (const [i, value] of [fd, lone, 6].entries()) attributes.writeUInt32LE(value, i * 4);
        expect(Number(libc.syscall(SYS.bpf, 'int', ATTACH, 'void *', attributes, 'uint', attributes.length))).toBe(0);
      });
      closeSync(lone);
      const [outcome] = new DeviceGrants({ owner: OWNER }).reconcile([{ cgroup: deep, rules: [X] }]).values();
      expect(outcome).toMatchObject({ reason: 'programs_exclusive' });
      expect(outcome).toHaveProperty('message', expect.stringContaining(`${pod}/alone,`));
    });
  }),
);
