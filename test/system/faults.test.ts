import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeUnless } from '../describe-unless.ts';
import { Random } from '../random.ts';
import { SEED } from '../settings.ts';
import { ERRORS, Faults, FUNCTIONS } from './faults/faults.ts';
import type { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { devicePod, ownSize, sized, untilOpens } from './support/devices.ts';
import { LoopDisk, ZramDisk } from './support/disks.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const SIZE = ownSize(21);
/** s. What failed is tried again within a minute. */
const PATIENCE = 90;

/** How many calls of a function are made to fail, each in a round of its own: the soak takes all of a round. */
const CALLS = SOAK ? Number.POSITIVE_INFINITY : 1;
/** Of those that are called in a round. */
const SAMPLE = SOAK ? FUNCTIONS.length : 14;

const NAME = 'any call that fails once';
if (SOAK || process.env['HOTMOUNT_FAULTS'] === '1') describeSystem(NAME, ['gcc', 'runc', 'busybox', 'zram'], suite);
else describeUnless('it takes minutes: HOTMOUNT_FAULTS=1', NAME, suite, 'faults');

function suite(): void {
  let rig: Rig;
  let faults: Faults;
  let daemon: Daemon;
  let container: Container;

  beforeAll(async () => {
    rig = new Rig();
    faults = new Faults(rig);
    const policy = `${rig.policy()}deviceClasses:\n  - {name: raw, match: [{subsystem: [block], bus: [zram], ${sized(SIZE)}}]}\n`;
    daemon = await new Daemon(rig, { policy, env: faults.env }).start();
    container = devicePod(rig, daemon, ['raw']);
  });
  afterAll(() => rig.close());

  /** A disk and a device come and go. */
  const round = async (): Promise<void> => {
    const stick = new LoopDisk(rig, { label: 'STICK' });
    stick.plug();
    const raw = new ZramDisk(rig, { size: SIZE });
    await reached('the disk is mounted', () => daemon.mountPoints().join() === 'media-ro/test/STICK,media/test/STICK');
    await untilReached(() => untilOpens(container, `raw/${raw.name}`, 'rw'));
    stick.pull();
    await raw.unplugWhenFree();
    await reached('the disk is gone', () => daemon.mountPoints().length === 0);
    await untilReached(() => untilOpens(container, `raw/${raw.name}`, 'gone'));
  };
  /** Where the daemon has ended, it has said why, and the next one goes on. */
  const revive = async (): Promise<void> => {
    if (!daemon.hasEnded) return;
    const [last = ''] = daemon.log.trimEnd().split('\n').slice(-1);
    expect(last).toMatch(/error: .*\b(E[A-Z]+|thread)\b/);
    faults.disarm();
    daemon.log = '';
    await daemon.start();
  };
  const reached = async (what: string, ask: () => boolean): Promise<void> => {
    const isReached = async (): Promise<boolean> => {
      await revive();
      return ask();
    };
    try {
      await until(what, isReached, PATIENCE);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${daemon.log}`);
    }
  };
  /** The same for what waits by itself, and for less long. */
  const untilReached = async (wait: () => Promise<unknown>): Promise<void> => {
    for (const deadline = performance.now() + PATIENCE * 1000; ; ) {
      await revive();
      try {
        await wait();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw new Error(`${(error as Error).message}\n${daemon.log}`);
      }
    }
  };

  it(`leaves the state right, or ends the daemon with its cause (seed ${SEED})`, {
    timeout: SOAK ? 20_000_000 : 600_000,
  }, async () => {
    await round();
    const before = faults.calls;
    await round();
    const called = FUNCTIONS.map((name) => [name, (faults.calls.get(name) ?? 0) - (before.get(name) ?? 0)] as const);
    const chosen = called.filter(([, count]) => count > 0);
    expect(chosen.length).toBeGreaterThan(15);
    const random = new Random(SEED);
    while (chosen.length > SAMPLE) chosen.splice(random.below(chosen.length), 1);
    const report: string[] = [];
    let errors = SEED;
    for (const [name, count] of chosen) {
      const calls = count <= CALLS ? range(count) : Array.from({ length: CALLS }, () => 1 + random.below(count));
      for (const n of calls) {
        const error = ERRORS[errors++ % ERRORS.length] as (typeof ERRORS)[number];
        daemon.log = '';
        const { pid } = daemon;
        faults.arm(name, n, error);
        try {
          await round();
        } catch (cause) {
          throw new Error(`${name}, call ${n} of ${count}, ${error}: ${(cause as Error).message}\n${daemon.log}`, {
            cause,
          });
        }
        report.push(
          `${name} ${n} ${error}: ${!faults.hasFired ? 'not called' : daemon.pid === pid ? 'went on' : 'ended'}`,
        );
        faults.disarm();
      }
    }
    await sleep(100);
    process.stderr.write(`${report.join('\n')}\n`);
    expect(report.filter((line) => line.endsWith('not called')).length).toBeLessThan(report.length / 2);
  });
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
