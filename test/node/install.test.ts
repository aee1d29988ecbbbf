import { afterAll, beforeAll, expect, test } from 'vitest';
import { LoopDisk } from '../system/support/disks.ts';
import { describeOnNode } from './describe-on-node.ts';
import { HOTMOUNT_IMAGE } from './hotmount-image.ts';
import { BUSYBOX } from './images.ts';
import { commandsAfter, NAMESPACE } from './installation.ts';
import { namespace, pod } from './objects.ts';

const EDGE = 'edge-uninstall';
/** Cluster-wide kinds that the chart has. */
const KINDS =
  'clusterroles,clusterrolebindings,csidrivers,mutatingwebhookconfigurations,validatingwebhookconfigurations';

/** Its commands, typed as they are but for the names of images. */
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

  test('uninstalls everything, and leaves nothing on the node', async () => {
    const { node, rig, hotmount } = on();
    disk = new LoopDisk(rig, { label: 'LAST' });
    const annotations = { 'hotmount.io/lxcfs': 'meminfo', 'hotmount.io/media': 'usb' };
    await node.apply(pod('last', annotations, { terminationGracePeriodSeconds: 1 }), '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/last', '-n', EDGE, '--timeout=60s');
    disk.plug();
    await node.eventually(() => node.exec(EDGE, 'last', 'ls', '-d', '/media/usb/LAST'));
    await node.kubectl('delete', 'pod', 'last', '-n', EDGE);

    for (const command of commandsAfter('so clean up the nodes next:')) await hotmount.type(command);
    // Empty directories stay, those that the pods had from the node.
    const files =
      'find /run /var/lib/kubelet -name "*hotmount*" -not -path "*/containerd/*" -not \\( -type d -empty \\)';
    await node.eventually(async () => {
      const left = {
        mounts: await node.machine.sh('grep -E "hotmount[^-]|lxcfs" /proc/self/mountinfo || true'),
        processes: await node.machine.sh('pgrep -af "[l]xcfs|[b]in/hotmount" || true'),
        files: await node.machine.sh(files),
        objects: (await node.kubectl('get', KINDS, '-o', 'name'))
          .split('\n')
          .filter((name) => name.includes('hotmount')),
      };
      expect(left).toEqual({ mounts: '', processes: '', files: '', objects: [] });
    });
  }, 300_000);

  test('installs it, and has something to show right after that', async () => {
    const { hotmount } = on();
    const image = Object.entries(HOTMOUNT_IMAGE).map(([key, value]) => `--set image.${key}=${value}`);
    const commands = [...commandsAfter('### The chart'), `helm test hotmount -n ${NAMESPACE}`];
    for (const command of commands)
      await hotmount.type(command.replace(/--set image\.repository=\S+/, image.join(' ')));
    const said = [];
    for (const command of commandsAfter('Then, in any other namespace:')) {
      said.push(await hotmount.type(command.replace(/--image=\S+/, `--image=${BUSYBOX}`), EDGE));
    }
    expect(said.at(-1)).toMatch(/^MemTotal: +262144 kB$/m);
    // Its shell does not end by SIGTERM.
    await on().node.kubectl('delete', 'deployments,replicasets', '--all', '-n', EDGE, '--cascade=orphan');
    await on().node.kubectl('delete', 'pods', '--all', '-n', EDGE, '--grace-period=1');
  }, 300_000);
});
