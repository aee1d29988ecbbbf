import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, it } from 'vitest';
import { requestEjection } from '../../src/node/server.ts';
import { Random } from '../random.ts';
import { SEED } from '../settings.ts';
import { Container } from './support/container.ts';
import { Daemon } from './support/daemon.ts';
import { LoopDisk } from './support/disks.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const STEPS = SOAK ? 1500 : 40;
const timeout = SOAK ? 1_800_000 : 300_000;
const LABELS = ['ONE', 'TWO', 'THREE'];

/** What the policy may say: the class that takes a disk of this label, if one does, and how. */
interface Rules {
  readonly className: string;
  readonly labels: readonly string[];
  readonly readOnly: boolean;
}
const RULES: readonly Rules[] = [
  { className: 'test', labels: LABELS, readOnly: false },
  { className: 'test', labels: LABELS, readOnly: true },
  { className: 'test', labels: ['TWO'], readOnly: false },
  { className: 'other', labels: ['ONE', 'THREE'], readOnly: false },
];

/** A disk as this test has left it. */
interface Disk {
  readonly label: string;
  readonly loop: LoopDisk;
  state: 'unplugged' | 'plugged' | 'empty';
  isEjected: boolean;
  /** Has a file of it open. */
  holder: ChildProcess | undefined;
  /** It was pulled and pushed back with the file open: whether the kernel mounts what it has in memory again depends on what that has met. */
  isHeld: boolean;
}

describeSystem('disks that come and go at random', ['runc', 'busybox'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it(`are mounted as the policy says after each of ${STEPS} steps (seed ${SEED})`, { timeout }, async () => {
    const random = new Random(SEED);
    const disks = LABELS.map(
      (label): Disk => ({
        label,
        loop: new LoopDisk(rig, { label, files: { file: label } }),
        state: 'unplugged',
        isEjected: false,
        holder: undefined,
        isHeld: false,
      }),
    );
    let rules = RULES[0] as Rules;
    const policy = ({ className, labels, readOnly }: Rules): string =>
      rig.policy(
        ['test', 'other']
          .map((name) => {
            const wanted = name === className ? labels : ['NONE'];
            return `- {name: ${name}, match: [{uuid: ["${rig.uuidPrefix}-*"], label: [${wanted}]}], mount: {readOnly: ${readOnly}}}`;
          })
          .join('\n'),
      );
    const daemon = await new Daemon(rig, { policy: policy(rules) }).start();
    const container = new Container(rig, {
      mounts: [{ source: `${daemon.runDir}/media`, target: '/media', propagation: 'rslave' }],
    });

    const isMounted = ({ label, state, isEjected, isHeld }: Disk): boolean =>
      state === 'plugged' && !isEjected && !isHeld && rules.labels.includes(label);
    const expected = (): string[] =>
      disks
        .filter(isMounted)
        .flatMap(({ label }) => ['media', 'media-ro'].map((tree) => `${tree}/${rules.className}/${label}`))
        .sort();
    const isSure = (path: string): boolean => !disks.some(({ label, isHeld }) => isHeld && path.endsWith(`/${label}`));
    const nobodyHolds = (): boolean => disks.every(({ holder }) => !holder);

    /** Each does nothing where it would make no sense. */
    const steps: Readonly<Record<string, (disk: Disk) => unknown>> = {
      plug(disk) {
        if (disk.state !== 'unplugged') return;
        disk.loop.plug();
        Object.assign(disk, { state: 'plugged', isEjected: false, isHeld: false });
      },
      unplug(disk) {
        // A loop device that is in use stays until it is not.
        if (disk.state === 'unplugged' || isMounted(disk) || disk.holder) return;
        disk.loop.unplug();
        disk.state = 'unplugged';
      },
      pull(disk) {
        if (disk.state !== 'plugged') return;
        disk.loop.pull();
        Object.assign(disk, { state: 'empty', isEjected: false, isHeld: disk.holder !== undefined });
      },
      pushBack(disk) {
        if (disk.state !== 'empty') return;
        disk.loop.pushBack();
        disk.state = 'plugged';
      },
      async eject(disk) {
        if (!isMounted(disk)) return;
        await requestEjection(daemon.runDir, disk.loop.name);
        disk.isEjected = true;
      },
      async hold(disk) {
        if (!isMounted(disk) || disk.holder) return;
        const file = `${daemon.runDir}/media/${rules.className}/${disk.label}/file`;
        disk.holder = spawn('sh', ['-c', `exec 5< ${file}; echo open; exec sleep 100000`], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        rig.onClose('process', () => disk.holder?.kill('SIGKILL'));
        await once(disk.holder.stdout as NodeJS.EventEmitter, 'data');
      },
      async release(disk) {
        const { holder } = disk;
        if (!holder) return;
        const ended = once(holder, 'exit');
        holder.kill('SIGKILL');
        await ended;
        Object.assign(disk, { holder: undefined, isHeld: false });
      },
      policy() {
        const next = random.pick(RULES);
        // A file system that is kept in memory writable is not mounted anew read-only.
        if (next.readOnly !== rules.readOnly && !nobodyHolds()) return;
        rules = next;
        daemon.setPolicy(policy(rules));
      },
      async restart() {
        if (!nobodyHolds()) return;
        await daemon.kill();
        await daemon.start();
      },
    };

    const done: string[] = [];
    for (let i = 0; i < STEPS; i++) {
      const name = random.pick(Object.keys(steps));
      const disk = random.pick(disks);
      done.push(`${name} ${disk.label}`);
      await steps[name]?.(disk);
      const wanted = JSON.stringify(expected());
      const seen = JSON.stringify(
        disks
          .filter(isMounted)
          .map(({ label }) => `${rules.className}/${label}`)
          .sort(),
      );
      await until(
        `${wanted} after ${done.join(', ')}`,
        () => JSON.stringify(daemon.mountPoints().filter(isSure)) === wanted,
      );
      await until(`${seen} in the container after ${done.join(', ')}`, () => {
        const paths = container.sh('ls -d /media/*/* 2>/dev/null; true').split('\n').filter(Boolean).filter(isSure);
        return JSON.stringify(paths.map((path) => path.slice('/media/'.length)).sort()) === seen;
      });
      await until(`the same mode for all after ${done.join(', ')}`, async () => {
        const modes = ((await daemon.status())?.mounted ?? []).map(({ options }) => options.includes('ro'));
        return modes.every((mode) => mode === rules.readOnly);
      });
    }
  });
});
