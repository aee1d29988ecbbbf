import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReadingContainer } from './lxcfs/reading.ts';
import { LxcfsService } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem } from './support/suite.ts';

const CGROUPS = '/sys/fs/cgroup';
const IS_V2 = existsSync(`${CGROUPS}/cgroup.controllers`);
const CPUS = availableParallelism();

/** What a kubelet writes at a resize in place, and its CPU manager when it deals out processors. */
class Limits {
  readonly #id: string;

  constructor({ id }: ReadingContainer) {
    this.#id = id;
  }

  memory(mebibytes: number): void {
    this.#write('memory', IS_V2 ? 'memory.max' : 'memory.limit_in_bytes', String(mebibytes << 20));
  }

  /** Processors' worth of time; undefined: no limit. */
  quota(processors: number | undefined): void {
    const microseconds = processors === undefined ? undefined : processors * 100_000;
    if (IS_V2) this.#write('cpu', 'cpu.max', `${microseconds ?? 'max'} 100000`);
    else this.#write('cpu', 'cpu.cfs_quota_us', String(microseconds ?? -1));
  }

  cpuset(list: string): void {
    this.#write('cpuset', 'cpuset.cpus', list);
  }

  #write(controller: string, file: string, value: string): void {
    const path = `${CGROUPS}/${IS_V2 ? '' : `${controller}/`}${this.#id}/${file}`;
    writeFileSync(path, value);
    expect(readFileSync(path, 'latin1').trim()).toBe(value);
  }
}

describeSystem('limits that change while a container runs', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  let container: ReadingContainer;
  let limits: Limits;
  beforeEach(async () => {
    rig = new Rig();
    const lxcfs = await new LxcfsService(rig).start();
    const files = ['/proc/meminfo', '/proc/cpuinfo', '/proc/stat'];
    container = new ReadingContainer(rig, { source: lxcfs.source, files }).start();
    limits = new Limits(container);
  });
  afterEach(() => rig.close());

  const reads = (expected: Readonly<Record<string, number>>): Promise<unknown> =>
    until(`it reads ${JSON.stringify(expected)}`, () => {
      const last = container.last();
      return Object.entries(expected).every(([view, value]) => last.get(`/proc/${view}`) === value);
    });

  it('are followed: memory, up and down', async () => {
    await reads({ meminfo: 65_536 });
    limits.memory(96);
    await reads({ meminfo: 98_304 });
    limits.memory(48);
    await reads({ meminfo: 49_152 });
    expect(container.errors().errnos).toEqual(new Set());
  });

  it.skipIf(CPUS < 2)('are followed: processors, by time and by number', async () => {
    // Before 7.0 on cgroup v2, stat has the node's.
    const own = (count: number) => ({ cpuinfo: count, ...(IS_V2 ? {} : { stat: count }) });
    await reads(own(1));
    limits.quota(2);
    await reads(own(2));
    limits.quota(undefined);
    await reads(own(CPUS));
    limits.cpuset('0');
    await reads(own(1));
    limits.cpuset(`0-${CPUS - 1}`);
    await reads(own(CPUS));
    limits.quota(1);
    await reads(own(1));
    expect(container.errors().errnos).toEqual(new Set());
  });
});
