import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReadingContainer, VIEWS } from './lxcfs/reading.ts';
import { LxcfsService, lxcfsProcesses } from './lxcfs/service.ts';
import { Rig, until } from './support/rig.ts';
import { describeSystem, SOAK } from './support/suite.ts';

const CONTAINERS = SOAK ? 50 : 5;
/** µs between two rounds: each container has 100 reads a second. */
const PAUSE = VIEWS.length * 10_000;
/** ms. */
const WARM_UP = SOAK ? 30_000 : 1000;
const DURATION = SOAK ? 300_000 : 2000;

describeSystem('lxcfs under readers in many containers', ['runc', 'lxcfs', 'gcc'], () => {
  let rig: Rig;
  beforeEach(() => {
    rig = new Rig();
  });
  afterEach(() => rig.close());

  it(
    `keeps its size, its limits and its processes, at 100 reads a second from each of ${CONTAINERS}`,
    async () => {
      const lxcfs = await new LxcfsService(rig).start();
      const containers = Array.from({ length: CONTAINERS }, (_, i) =>
        new ReadingContainer(rig, { source: lxcfs.source, pause: PAUSE, memory: 32 + (i % 4) * 16 }).start(),
      );
      const kilobytes = () =>
        lxcfsProcesses(lxcfs.runDir).map((pid) =>
          Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]),
        );
      await until('all read', () => containers.every((container) => container.last().size === VIEWS.length), 120);
      await sleep(WARM_UP);
      const processes = lxcfsProcesses(lxcfs.runDir);
      const before = Math.max(...kilobytes());
      await sleep(DURATION);
      const after = Math.max(...kilobytes());
      const slowest = Math.max(...containers.map((container) => container.slowest()));
      const counts = containers.map((container) => container.counts());
      const [reads, slow] = (['reads', 'slow'] as const).map((key) =>
        counts.reduce((sum, count) => sum + count[key], 0),
      );
      process.stderr.write(
        `lxcfs: ${before} kB, then ${after} kB; ${reads} reads, ${slow} of more than 100 ms, the slowest of ${slowest} ms; load ${loadavg()[0]?.toFixed(1)}\n`,
      );
      expect(lxcfsProcesses(lxcfs.runDir)).toEqual(processes);
      expect(after).toBeLessThan(before + 4096);
      for (const container of containers) {
        expect(container.errors().errnos).toEqual(new Set());
        const memory = container.observations().filter(({ file }) => file === '/proc/meminfo');
        expect(memory.map(({ value }) => value)).toEqual([container.memTotal]);
      }
    },
    WARM_UP + DURATION + 180_000,
  );
});
