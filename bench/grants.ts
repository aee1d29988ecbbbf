import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DeviceCgroup, DeviceGrants, type DeviceRule } from '../src/linux/device-cgroup/index.ts';
import { makeCgroup, makeRestricted, versions } from '../test/system/device-cgroup/cgroups.ts';
import { Pod } from '../test/system/device-cgroup/containers.ts';
import { makeNode } from '../test/system/device-cgroup/questions.ts';
import { Rig, run } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';
import { median } from './webhook/load.ts';

/**
 * What a grant on cgroup v2 costs each open of a device, against none, for a process in a runc container; and how long it takes to
 * grant one device to containers, each in a pod of its own, and to take it back. All in processor time, for the machine may be busy. Root, runc and gcc.
 */
const OWNER = 'hotmount_bench';
const OPENS = 20_000;
const ROUNDS = 15;

const NULL = { type: 'char', major: 1, minor: 3 } as const; // every runtime allows it
const MEM = { type: 'char', major: 1, minor: 1 } as const; // none does
const may = (device: Omit<DeviceRule, 'access'>): DeviceRule => ({ ...device, access: 'rw' });
const others = (count: number): DeviceRule[] =>
  Array.from({ length: count }, (_, i) => ({ type: 'block', major: 253, minor: i, access: 'rw' }));

requireRoot('runc', 'busybox', 'gcc');

const rig = new Rig();
const grants = new DeviceGrants({ owner: OWNER });

class Opener {
  readonly #child: ChildProcess;
  constructor(program: string, cgroup: string) {
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
    rig.onClose('process', () => this.#child.kill('SIGKILL'));
    writeFileSync(`${cgroup}/cgroup.procs`, String(this.#child.pid));
  }
  /** ns of processor time that an open (and close) takes. */
  async open(path: string, count = OPENS): Promise<number> {
    this.#child.stdin?.write(`${path} ${count}\n`);
    return Number(String((await once(this.#child.stdout as NodeJS.ReadableStream, 'data'))[0]));
  }
}

type Pair = readonly [before: number, after: number];

function show(what: string, pairs: readonly Pair[]): void {
  const [before, after, ratio] = [pairs.map(([a]) => a), pairs.map(([, b]) => b), pairs.map(([a, b]) => b / a)].map(
    median,
  ) as [number, number, number];
  console.log(`  ${what}: ${before.toFixed(0)} → ${after.toFixed(0)}, ratio ${ratio.toFixed(3)}`);
}

async function costOfOpens(): Promise<void> {
  const program = rig.path('opener');
  run('gcc', '-O2', '-o', program, join(import.meta.dirname, 'grants/opener.c'));
  const node = (name: string, device: Omit<DeviceRule, 'access'>): string => {
    makeNode(rig.path(name), device);
    return rig.path(name);
  };
  const [allowed, denied] = [node('null', NULL), node('mem', MEM)];

  const container = new Pod(rig, 2).start([{ allow: false, access: 'rwm' }]);
  const neighbours = Array.from({ length: 99 }, (_, i) =>
    makeRestricted(2, `${container.cgroup.path.replace(/[^/]*$/, '')}neighbour-${i}`),
  );
  const [opener, neighbour] = [container.cgroup, neighbours[0] as DeviceCgroup].map(
    ({ path }) => new Opener(program, path),
  ) as [Opener, Opener];

  for (const [containers, rules] of [
    [2, 1],
    [2, 20],
    [2, 100],
    [100, 20],
    [100, 100],
  ] as const) {
    const wanted = [container.cgroup, ...neighbours.slice(0, containers - 1)].map((cgroup, i) => ({
      cgroup,
      rules: [...(i === 1 ? [may(NULL)] : others(1)), ...others(rules).slice(1)],
    }));
    const times = { allowed: [] as Pair[], granted: [] as Pair[], denied: [] as Pair[] };
    for (let round = 0; round < ROUNDS; round++) {
      grants.reconcile([]);
      const before = [await opener.open(allowed), await opener.open(denied)] as const;
      grants.reconcile(wanted);
      times.allowed.push([before[0], await opener.open(allowed)]);
      times.granted.push([before[0], await neighbour.open(allowed)]);
      times.denied.push([before[1], await opener.open(denied)]);
    }
    console.log(`${containers} containers with ${rules} rule${rules > 1 ? 's' : ''} each, ns an open, without → with:`);
    show('allowed by the runtime', times.allowed);
    show('allowed by us (without: by the runtime)', times.granted);
    show('denied', times.denied);
  }
  grants.reconcile([]);
}

function costOfGranting(version: DeviceCgroup['version']): void {
  const cluster = makeCgroup(rig, version);
  const cgroups = Array.from({ length: 100 }, (_, i) => makeRestricted(version, `${cluster}/pod-${i}/container`));
  for (const count of [1, 10, 100]) {
    const times = { grant: [] as number[], idle: [] as number[], revoke: [] as number[] };
    const timed = (of: number[], wanted: Parameters<DeviceGrants['reconcile']>[0]): void => {
      const start = process.cpuUsage();
      grants.reconcile(wanted);
      const { user, system } = process.cpuUsage(start);
      of.push((user + system) / 1000);
    };
    const wanted = cgroups.slice(0, count).map((cgroup) => ({ cgroup, rules: [may(MEM)] }));
    for (let round = 0; round < ROUNDS * 2; round++) {
      timed(times.grant, wanted);
      timed(times.idle, wanted);
      timed(times.revoke, []);
    }
    const show = (of: number[]): string => `${median(of).toFixed(2)} ms`;
    console.log(
      `v${version}, one device, ${count} container${count > 1 ? 's' : ''}: granted in ${show(times.grant)}, nothing to do ${show(times.idle)}, taken back in ${show(times.revoke)}`,
    );
  }
}

try {
  mkdirSync(rig.path('nodes'));
  await costOfOpens();
  for (const version of versions()) costOfGranting(version);
} finally {
  grants.reconcile([]);
  await rig.close();
}
