import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchMountTable } from '../src/linux/readiness.ts';
import { listenForUevents } from '../src/linux/uevents.ts';
import { Daemon } from '../test/system/support/daemon.ts';
import { Rig } from '../test/system/support/rig.ts';
import { requireRoot } from './node/rig.ts';

/**
 * What the daemon costs while nothing happens: how often one of its threads wakes up in a minute, and its memory. Each thread's
 * voluntary context switches are the times that it went back to sleep. Where others make events or mounts meanwhile, it wakes for those.
 */
const SECONDS = 60;
requireRoot();

const rig = new Rig();
try {
  // A second start: the first fills the cache of what the sources compile to.
  const daemon = await new Daemon(rig).start();
  await daemon.stop();
  await daemon.start();
  // By then V8 has collected what the start has left behind: its workers would count.
  await sleep(20_000);
  let heard = 0;
  const fail = (error: Error): never => {
    throw error;
  };
  const listener = listenForUevents({}, () => heard++, fail);
  const unwatch = watchMountTable(() => heard++);
  const before = switches(daemon.pid);
  await sleep(SECONDS * 1000);
  const after = switches(daemon.pid);
  listener.close();
  unwatch();
  const woken = [...after]
    .map(([thread, count]) => [thread, count - (before.get(thread) ?? 0)] as const)
    .filter(([, count]) => count > 0);
  const total = woken.reduce((sum, [, count]) => sum + count, 0);
  const who = woken.map(([thread, count]) => `${thread}: ${count}`).join(', ');
  process.stdout.write(
    `${total} wake-ups in ${SECONDS} s${who ? ` (${who})` : ''}; kernel events and mount changes meanwhile: ${heard}\n`,
  );
  process.stdout.write(`memory: ${(daemon.rss() / 1024).toFixed(0)} MB resident (at most 110)\n`);
} finally {
  await rig.close();
}

function switches(pid: number): Map<string, number> {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    const name = /^Name:\s*(.*)$/m.exec(status)?.[1];
    return [`${name} ${thread}`, Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1])] as const;
  });
  return new Map(threads);
}
