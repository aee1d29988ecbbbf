import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ruleDevice } from '../../src/linux/device-cgroup/rule.ts';
import { openGrants } from '../../src/node/devices/grants.ts';
import { Random } from '../random.ts';
import { SEED } from '../settings.ts';
import { describeOnEach } from './device-cgroup/describe-on.ts';
import type { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePod, devicePolicy, deviceState, ownSize, sized, untilOpens } from './support/devices.ts';
import { ZramDisk } from './support/disks.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';
import { TapDevice } from './support/tap.ts';

const CONTAINERS = SOAK ? 30 : 4;
const DEVICES = SOAK ? 20 : 4;
const SECONDS = SOAK ? 300 : 15;
const timeout = SOAK ? 1_800_000 : 400_000;
/** MiB. */
const SIZES = [25, 26, 27].map(ownSize);

/** What a class takes of this test's devices, as the policy says it and as it is expected. */
interface Class {
  readonly name: string;
  readonly access: 'r' | 'w' | 'rw';
  readonly sizes: readonly number[];
  readonly taps: boolean;
}
const CLASSES: readonly Class[] = [
  { name: 'small', access: 'rw', sizes: SIZES.slice(0, 2), taps: false },
  { name: 'large', access: 'r', sizes: SIZES.slice(1), taps: false },
  { name: 'mixed', access: 'w', sizes: SIZES.slice(2), taps: true },
];

interface Plugged {
  readonly number: string;
  readonly name: string;
  readonly size: number | undefined;
  unplug(): unknown;
}

describeSystem('devices and containers that come and go at random', ['runc', 'busybox', 'zram', 'macvtap'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  describeOnEach((version) => {
    const what = `${CONTAINERS} containers, ${DEVICES} devices, ${SECONDS} s, seed ${SEED}`;
    it(`are what the policy says, at each rest (${what})`, { timeout }, async () => {
      const random = new Random(SEED);
      const taps = [0, 1].map(() => new TapDevice(rig));
      for (const tap of taps) tap.unplug();

      const policy = (classes: readonly Class[]): string => devicePolicy(rig, classes.map(asYaml).join('\n'));
      let classes = CLASSES;
      const daemon = await new Daemon(rig, { policy: policy(classes) }).start();
      let listOfRuntime: unknown;
      /** As the runtime left it: by now, the daemon may have granted what is plugged in. */
      const ungranted = (container: Container): unknown => {
        const now = deviceState(container);
        if (version === 2) return [(now as unknown[])[0], []];
        // The first ones start before there is a device, and all have the same list.
        listOfRuntime ??= now;
        return listOfRuntime;
      };
      const pods: { container: Container; mounts: readonly string[]; before: unknown }[] = [];
      const startPod = (): void => {
        const mounts = CLASSES.map(({ name }) => name).filter(() => random.below(2) === 0);
        const container = devicePod(rig, daemon, mounts, { unified: version === 2 });
        pods.push({ container, mounts, before: ungranted(container) });
      };
      while (pods.length < CONTAINERS) startPod();
      const plugged: Plugged[] = [];
      const plug = (): void => {
        const tap =
          random.below(3) === 0 ? taps.find(({ name }) => plugged.every((other) => other.name !== name)) : undefined;
        if (tap) plugged.push(plugTap(tap));
        else plugged.push(plugZram(rig, SIZES[random.below(SIZES.length)] as number));
      };

      const expected = (mounts: readonly string[]): Record<string, string> => {
        const rules: Record<string, string> = {};
        for (const { access, sizes, taps: hasAll } of classes.filter((one) => mounts.includes(one.name))) {
          for (const { number, size } of plugged) {
            const isIn = size === undefined ? hasAll : sizes.includes(size);
            if (isIn) rules[number] = unite(rules[number] ?? '', access);
          }
        }
        return rules;
      };
      const check = async (): Promise<void> => {
        await until(
          'all is as the policy says',
          () => {
            const granted = openGrants({ path: daemon.runDir }).granted();
            for (const { container, mounts, before } of pods) {
              const rules = granted.get(container.cgroup) ?? [];
              const found = Object.fromEntries(rules.map((rule) => [ruleDevice(rule), rule.access]));
              expect(found, `${container.id} with ${mounts}`).toEqual(expected(mounts));
              if (rules.length === 0) expect(deviceState(container)).toEqual(before);
              if (version === 1) expect(listed(container)).toEqual({ ...listedBefore(before), ...found });
            }
            return true;
          },
          SOAK ? 120 : 60,
        ).catch((error: Error) => {
          error.message += `; the daemon${daemon.hasEnded ? ', which has ended' : ''}: ${daemon.log.slice(-20_000)}`;
          throw error;
        });
        const { container, mounts } = pods[random.below(pods.length)] as (typeof pods)[number];
        for (const { name, access, sizes, taps: hasAll } of classes.filter((one) => mounts.includes(one.name))) {
          const inClass = plugged.filter(({ size }) => (size === undefined ? hasAll : sizes.includes(size)));
          const one = inClass[random.below(inClass.length || 1)];
          // Another class may give it more, by the same cgroup.
          if (one) await untilOpens(container, `${name}/${one.name}`, expected(mounts)[one.number] ?? access);
        }
      };

      await check();
      for (const end = performance.now() + SECONDS * 1000; performance.now() < end; ) {
        for (let burst = 1 + random.below(5); burst > 0; burst--) {
          const what = random.below(20);
          if (what < 9 && plugged.length < DEVICES) plug();
          else if (what < 16 && plugged.length > 0) await plugged.splice(random.below(plugged.length), 1)[0]?.unplug();
          else if (what === 16) {
            pods.splice(random.below(pods.length), 1)[0]?.container.stop();
            startPod();
          } else if (what === 17) {
            classes = CLASSES.filter(() => random.below(4) > 0);
            daemon.setPolicy(policy(classes));
          } else if (what === 18) {
            await daemon.kill();
            if (plugged.length > 0 && random.below(2) === 0)
              await plugged.splice(random.below(plugged.length), 1)[0]?.unplug();
            if (plugged.length < DEVICES && random.below(2) === 0) plug();
            daemon.spawn();
          }
          await sleep(random.below(20));
        }
        await check();
      }
      for (const one of plugged.splice(0)) await one.unplug();
      await check();
    });
  });
});

const asYaml = ({ name, access, sizes, taps }: Class): string => {
  const disks = sizes.map((size) => `{bus: [zram], ${sized(size)}}`);
  return `- {name: ${name}, access: ${access}, match: [${[...disks, ...(taps ? ['{subsystem: [macvtap]}'] : [])].join(', ')}]}`;
};

function plugZram(rig: Rig, size: number): Plugged {
  const disk = new ZramDisk(rig, { size });
  const number = `b ${readFileSync(`/sys/block/${disk.name}/dev`, 'utf8').trim()}`;
  return { number, name: disk.name, size, unplug: () => disk.unplugWhenFree() };
}

function plugTap(tap: TapDevice): Plugged {
  tap.plug();
  return { number: `c ${tap.number}`, name: tap.name, size: undefined, unplug: () => tap.unplug() };
}

const unite = (a: string, b: string): string => ['r', 'w'].filter((letter) => (a + b).includes(letter)).join('');

/** The rules of a v1 list, without `m`. */
const listed = ({ cgroup }: Container): Record<string, string> =>
  listedBefore(readFileSync(`${cgroup}/devices.list`, 'utf8').trim().split('\n'));
const listedBefore = (lines: unknown): Record<string, string> =>
  Object.fromEntries(
    (lines as string[])
      .map((line) => /^([bc] \S+) (\S+)$/.exec(line))
      .flatMap((found) => (found ? [[found[1] as string, (found[2] as string).replace('m', '')]] : [])),
  );
