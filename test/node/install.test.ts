import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LoopDisk } from '../system/support/disks.ts';
import { describeOnNode } from './describe-on-node.ts';
import { BUSYBOX } from './images.ts';
import { namespace, pod } from './objects.ts';

const EDGE = 'edge-uninstall';
const INSTALL = readFileSync(join(import.meta.dirname, '../../docs/install.md'), 'utf8');

/** The commands that the document has after a sentence, up to the next text. */
function commandsAfter(sentence: string): string[] {
  const rest = INSTALL.slice(INSTALL.indexOf(sentence) + sentence.length);
  const [block = ''] = /^( {4}.*\n)+/m.exec(rest) ?? [];
  return block
    .trimEnd()
    .split('\n')
    .map((line) => line.trim());
}

describeOnNode('docs/install.md', (on) => {
  let disk: LoopDisk | undefined;
  beforeAll(async () => {
    await on().node.apply(namespace(EDGE, 'privileged'));
    await on().node.eventually(() => on().node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
  });
  afterAll(async () => {
    await on().node.kubectl('delete', 'namespace', EDGE);
    disk?.pull();
    disk?.unplug();
  });

  test('has something to show right after the installation', async () => {
    const said = [];
    for (const command of commandsAfter('Then, in any other namespace:')) {
      said.push(await on().hotmount.type(command.replace(/--image=\S+/, `--image=${BUSYBOX}`), EDGE));
    }
    expect(said.at(-1)).toMatch(/^MemTotal: +262144 kB$/m);
    await on().node.kubectl('delete', 'deployment', '--all', '-n', EDGE, '--cascade=foreground');
  });

  test('uninstalls everything, and leaves nothing on the node', async () => {
    const { node, rig, hotmount } = on();
    disk = new LoopDisk(rig, { label: 'LAST' });
    const annotations = { 'hotmount.io/lxcfs': 'meminfo', 'hotmount.io/media': 'usb' };
    // Without any time to end, a pod is gone from the API before its volumes are from the node, and keeps them from being cleaned up.
    await node.apply(pod('last', annotations, { terminationGracePeriodSeconds: 1 }), '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/last', '-n', EDGE, '--timeout=60s');
    disk.plug();
    await node.eventually(() => node.exec(EDGE, 'last', 'ls', '-d', '/media/usb/LAST'));
    await node.kubectl('delete', 'pod', 'last', '-n', EDGE);

    for (const command of commandsAfter('so clear the nodes next:')) await hotmount.type(command);
    const all =
      'clusterroles,clusterrolebindings,csidrivers,mutatingwebhookconfigurations,validatingwebhookconfigurations';
    // Empty directories stay, those that the pods had from the node.
    const files =
      'find /run /var/lib/kubelet -name "*hotmount*" -not -path "*/containerd/*" -not \\( -type d -empty \\)';
    await node.eventually(async () => {
      const kinds = (await node.kubectl('get', all, '-o', 'name')).split('\n');
      const left = {
        mounts: await node.machine.sh('grep -E "hotmount[^-]|lxcfs" /proc/self/mountinfo || true'),
        processes: await node.machine.sh('pgrep -af "[l]xcfs|[b]in/hotmount" || true'),
        files: await node.machine.sh(files),
        objects: kinds.filter((name) => name.includes('hotmount')),
      };
      expect(left).toEqual({ mounts: '', processes: '', files: '', objects: [] });
    });
    // With the namespace go the webhook's pods, which wait for the API server to close its connections.
  }, 300_000);
});
