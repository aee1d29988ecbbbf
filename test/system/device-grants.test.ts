import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exactBits, parseDevicesList } from '../../src/linux/device-cgroup/devices-list.ts';
import { DeviceGrants, type DeviceRule } from '../../src/linux/device-cgroup/index.ts';
import { programsOn, withDirectory } from '../../src/linux/device-cgroup/programs.ts';
import { accessBits, ruleDevice, uniteRules } from '../../src/linux/device-cgroup/rule.ts';
import { getAttribute } from '../../src/linux/xattr.ts';
import { describeUnless } from '../describe-unless.ts';
import { Random } from '../random.ts';
import { SEED } from '../settings.ts';
import { type DeviceContainer, Pod, type SpecRule } from './device-cgroup/containers.ts';
import { describeOnEach } from './device-cgroup/describe-on.ts';
import type { Question } from './device-cgroup/questions.ts';
import { Rig } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

/** Not the default: a daemon on this machine is not to mind. */
const OWNER = 'hotmount_test';
const QUESTIONS = 1000;

const NONE: SpecRule = { allow: false, access: 'rwm' };
const SPECS: Readonly<Record<string, readonly SpecRule[]>> = {
  'the default spec': [NONE],
  'extra devices': [
    NONE,
    { allow: true, type: 'c', major: 240, minor: 5, access: 'r' },
    { allow: true, type: 'b', major: 7, minor: 3, access: 'rw' },
    { allow: true, type: 'c', major: 240, minor: 6, access: 'rwm' },
  ],
  'wildcard rules': [
    NONE,
    { allow: true, type: 'c', major: 240, access: 'r' },
    { allow: true, type: 'b', major: 253, access: 'rwm' },
  ],
  'everything but a few': [
    { allow: true, access: 'rwm' },
    { allow: false, type: 'c', major: 240, minor: 5, access: 'rw' },
    { allow: false, type: 'b', major: 7, minor: 3, access: 'w' },
  ],
};

let random: Random;
const randomDevice = () => ({
  type: random.pick(['char', 'block'] as const),
  major: random.pick([1, 5, 7, 8, 136, 188, 240, 241, 253]),
  minor: random.pick([0, 1, 3, 5, 5, 6, 7, 300, 70_000]),
});
const randomRules = (count: number): DeviceRule[] =>
  Array.from({ length: count }, () => ({ ...randomDevice(), access: random.pick(['r', 'w', 'rw'] as const) }));
/** Half of them about devices that are granted. */
const randomQuestions = (rules: readonly DeviceRule[]): Question[] =>
  Array.from({ length: QUESTIONS }, () => ({
    ...(random.percent(50) ? random.pick(rules) : randomDevice()),
    access: random.pick(['r', 'w', 'rw', 'm'] as const),
  }));

/** All that the kernel keeps on a container's device access. */
function stateOf({ cgroup: { version, path } }: DeviceContainer): unknown {
  if (version === 2) return [path, dirname(path)].map((directory) => withDirectory(directory, programsOn));
  const list = readFileSync(`${path}/devices.list`, 'utf8').trim().split('\n').sort();
  return { list, attribute: getAttribute(path, `trusted.${OWNER}.devices`) };
}

/** The answers there have to be, given those without the grant. */
function expected(
  { cgroup }: DeviceContainer,
  list: string,
  rules: readonly DeviceRule[],
  questions: readonly Question[],
  before: readonly boolean[],
): boolean[] {
  const granted = uniteRules(rules);
  const old = parseDevicesList(list);
  return questions.map((question, i) => {
    const key = ruleDevice(question);
    const added = granted.get(key) ?? 0;
    // A v1 list has one line for a device: whoever may read and is given writing may do both at once.
    const line = cgroup.version === 1 && added ? exactBits(old, key) : 0;
    const isUntouched = old.allowsAll || added === 0;
    return before[i] === true || (!isUntouched && (accessBits(question.access) & ~(added | line)) === 0);
  });
}

const listOf = ({ cgroup: { version, path } }: DeviceContainer): string =>
  version === 1 ? readFileSync(`${path}/devices.list`, 'utf8') : '';

/** CAP_SYS_RESOURCE, which crun cannot start a container without. */
function mayRaiseLimits(): boolean {
  const capabilities = /CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${capabilities}`) >> 24n) & 1n) === 1n;
}

describeSystem('device grants to containers of runc', ['runc', 'busybox'], () => suite('runc'));
describeSystem('device grants to containers of crun', ['crun', 'busybox'], () => {
  const obstacle = mayRaiseLimits() ? undefined : 'CAP_SYS_RESOURCE is missing';
  describeUnless(obstacle, 'with CAP_SYS_RESOURCE', () => suite('crun'), 'crun');
});

function suite(runtime: string): void {
  let rig: Rig;
  beforeEach(() => {
    random = new Random(SEED);
    rig = new Rig();
  });
  afterEach(async () => {
    const failed = new DeviceGrants({ owner: OWNER }).reconcile([]);
    await rig.close();
    expect([...failed]).toEqual([]);
  });

  describeOnEach((version) => {
    const harden = '/proc/sys/net/core/bpf_jit_harden';
    it.each(
      Object.keys(SPECS).flatMap((spec) => [
        { spec, hardened: false },
        ...(version === 2 ? [{ spec, hardened: true }] : []),
      ]),
    )(
      `adds exactly what is granted, and takes exactly that back: $spec, hardened: $hardened (seed ${SEED})`,
      async ({ spec, hardened }) => {
        const was = readFileSync(harden, 'utf8');
        if (hardened) writeFileSync(harden, '2');
        try {
          const pod = new Pod(rig, version, runtime);
          const [container, sibling] = [SPECS[spec], SPECS[spec]].map((rules) => pod.start(rules ?? [])) as [
            DeviceContainer,
            DeviceContainer,
          ];
          const rules = [...randomRules(20), { type: 'char', major: 240, minor: 5, access: 'rw' } as const];
          const questions = randomQuestions(rules);
          const before = await container.ask(questions);
          const siblingBefore = await sibling.ask(questions);
          const state = stateOf(container);
          const list = listOf(container);
          const grants = new DeviceGrants({ owner: OWNER });

          for (const part of [rules, rules.slice(0, 7), randomRules(5)]) {
            const outcome = grants.reconcile([{ cgroup: container.cgroup, rules: part }]);
            expect(outcome.size).toBe(1);
            expect(outcome.get(container.cgroup.path)?.state).toMatch(/granted|unneeded/);
            expect(await container.ask(questions)).toEqual(expected(container, list, part, questions, before));
            expect(await sibling.ask(questions)).toEqual(siblingBefore);
          }

          expect([...new DeviceGrants({ owner: OWNER }).reconcile([])]).toEqual([]);
          expect(await container.ask(questions)).toEqual(before);
          expect(await sibling.ask(questions)).toEqual(siblingBefore);
          expect(stateOf(container)).toEqual(state);
        } finally {
          writeFileSync(harden, was);
        }
      },
    );
  });
}
