import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { goModules } from '../cluster/go-modules.ts';
import { ZramDisk } from '../system/support/disks.ts';
import { NODE_FEATURE_DISCOVERY } from './binaries.ts';
import { NODE_NAME } from './configuration.ts';
import { describeOnNode } from './describe-on-node.ts';
import { namespace, pod } from './objects.ts';
import { RAW_SIZE } from './policy.ts';

/** May ask for everything. */
const EDGE = 'edge-features';
const ANNOTATIONS = { 'hotmount.io/devices': 'raw', 'hotmount.io/schedule': 'true' };
const KINDS = 'deployment/base/nfd-crds/nfd-api-crds.yaml';
const PROGRAMS = ['nfd-master', 'nfd-worker'] as const;

/** Its programs run on the node itself. All settings are its defaults, but that it looks every second instead of every minute. */
describeOnNode('node-feature-discovery', (on) => {
  let module: string;

  const labels = async (): Promise<Record<string, string>> => {
    const { metadata } = await on().node.get('node', NODE_NAME);
    return Object.fromEntries(
      Object.entries<string>(metadata.labels).filter(([key]) => key.startsWith('hotmount.io/')),
    );
  };
  const untilLabels = (wanted: Record<string, string>) =>
    on().node.eventually(async () => expect(await labels()).toEqual(wanted), 60_000);
  const phase = async (): Promise<string> => (await on().node.get('pod', 'reader', '-n', EDGE)).status.phase;

  beforeAll(async () => {
    const { node, hotmount } = on();
    [module = ''] = await goModules([NODE_FEATURE_DISCOVERY]);
    // The machine's own /etc is left alone.
    await node.machine.sh('mkdir -p /etc/kubernetes; mount -t tmpfs features /etc/kubernetes');
    await node.kubectl('apply', '-f', join(module, KINDS));
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    await hotmount.upgrade({ node: { nodeFeatureDiscovery: true } });
    const options = { 'nfd-master': {}, 'nfd-worker': { core: { sleepInterval: '1s' } } };
    for (const [index, program] of PROGRAMS.entries()) {
      await node.machine.serve(
        program,
        [
          join(inject('nodeBinaries').nodeFeatureDiscovery, program),
          `-kubeconfig=${node.kubeconfig}`,
          `-port=${8090 + index}`,
          `-options=${JSON.stringify(options[program])}`,
        ],
        { NODE_NAME, KUBERNETES_NAMESPACE: EDGE },
      );
    }
  }, 300_000);
  afterAll(async () => {
    const { node, hotmount } = on();
    for (const program of PROGRAMS) await node.machine.signal(program, 'KILL');
    await node.kubectl('delete', 'namespace', EDGE);
    await node.kubectl('delete', '-f', join(module, KINDS));
    await hotmount.install();
    await node.machine.sh('umount -l /etc/kubernetes; rmdir --ignore-fail-on-non-empty /etc/kubernetes');
  }, 300_000);

  test('labels the node while something of a class is plugged in, and pods that ask for the class are scheduled by it', async () => {
    const { node, rig } = on();
    await node.apply(pod('reader', ANNOTATIONS), '-n', EDGE);
    await node.eventually(async () => {
      const { conditions } = (await node.get('pod', 'reader', '-n', EDGE)).status;
      expect(conditions[0].message).toContain("didn't match Pod's node affinity");
    });
    const disk = new ZramDisk(rig, { size: RAW_SIZE });
    await untilLabels({ 'hotmount.io/raw': 'true', 'hotmount.io/raw.count': '1' });
    await node.eventually(async () => expect(await phase()).toBe('Running'), 60_000);
    await node.eventually(() => node.exec(EDGE, 'reader', 'dd', `if=/dev/hotmount/raw/${disk.name}`, 'count=1'));

    await disk.unplugWhenFree();
    await untilLabels({});
    // What runs stays.
    expect(await phase()).toBe('Running');
  }, 300_000);
});
