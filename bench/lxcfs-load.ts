import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMemory } from '../src/linux/process-memory.ts';
import { ReadingContainer, VIEWS } from '../test/system/lxcfs/reading.ts';
import { LxcfsService, lxcfsProcesses } from '../test/system/lxcfs/service.ts';
import { Rig, until } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';

/**
 * What many containers make of lxcfs that read all the time: its memory, once all have read and at the end, and how long their reads take.
 * Root, runc, lxcfs and gcc. The soak of test/system/lxcfs-load.test.ts does the same for longer.
 */
const CONTAINERS = Number(process.env['CONTAINERS'] ?? 50);
const SECONDS = Number(process.env['SECONDS'] ?? 120);
/** A second, of each container. */
const READS = 100;

requireRoot('runc', 'lxcfs', 'gcc');

const rig = new Rig();
try {
  const lxcfs = await new LxcfsService(rig).start();
  const pause = (VIEWS.length * 1_000_000) / READS;
  const containers = Array.from({ length: CONTAINERS }, () =>
    new ReadingContainer(rig, { source: lxcfs.source, pause }).start(),
  );
  const megabytes = () => (Math.max(...lxcfsProcesses(lxcfs.runDir).map(residentMemory)) / 1e6).toFixed(1);
  await until('all read', () => containers.every((container) => container.last().size === VIEWS.length), 60);
  await sleep(5000);
  const before = megabytes();
  await sleep(SECONDS * 1000);
  const counts = containers.map((container) => container.counts());
  const sum = (key: 'reads' | 'slow'): number => counts.reduce((total, count) => total + count[key], 0);
  const slowest = Math.max(...containers.map((container) => container.slowest()));
  console.log(
    `${CONTAINERS} containers, ${SECONDS} s, ${READS} reads a second each; load ${loadavg()[0]?.toFixed(1)}: lxcfs has ${before} MB, then ${megabytes()} MB;`,
  );
  console.log(`  ${sum('reads')} reads, ${sum('slow')} of more than 100 ms, the slowest of ${slowest.toFixed(0)} ms`);
} finally {
  await rig.close();
}
