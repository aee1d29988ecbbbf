import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { MountReplacer } from '../src/linux/mount-replacer.ts';
import { mountNamespaces, processIds } from '../src/linux/namespaces.ts';
import { Attacher } from '../src/node/lxcfs/attach.ts';
import { mayHaveOurs } from '../src/node/lxcfs/attach-plan.ts';
import { requireRoot } from './node/rig.ts';
import { median } from './webhook/load.ts';

/** One resync of a busy node: 1,000 processes, 250 mount namespaces, none of which needs anything. Root. */
const NAMESPACES = 250;
const EACH = 4;

requireRoot('unshare');

// A resync without an instance takes away whatever it finds.
if (mountNamespaces().some(({ pid }) => mayHaveOurs(readFileSync(`/proc/${pid}/mountinfo`, 'latin1')))) {
  throw new Error('hotmount lxcfs is in use on this machine: not here');
}

const script = `for i in $(seq 1 ${EACH - 1}); do sleep 1000 & done; echo; wait`;
const children = Array.from({ length: NAMESPACES }, () =>
  spawn('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }),
);
try {
  await Promise.all(children.map((child) => new Promise((resolve) => child.stdout.once('data', resolve))));
  const replacer = new MountReplacer();
  const attacher = new Attacher(replacer, '/run/hotmount');
  attacher.setSources(new Map());
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    await attacher.attachAll();
    times.push(performance.now() - start);
  }
  console.log(
    `${processIds().length} processes, ${mountNamespaces().length} mount namespaces: ${median(times).toFixed(1)} ms a resync (${Math.min(...times).toFixed(1)}–${Math.max(...times).toFixed(1)})`,
  );
  await replacer.close();
} finally {
  for (const child of children) child.kill('SIGKILL');
}
