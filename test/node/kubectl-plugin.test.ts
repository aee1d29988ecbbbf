import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CheckReport } from '../../src/commands/kubectl/check.ts';
import type { ClusterStatus } from '../../src/commands/kubectl/cluster-status.ts';
import type { Explanation } from '../../src/commands/kubectl/explain.ts';
import { execute } from '../execute.ts';
import { LoopDisk } from '../system/support/disks.ts';
import { NODE_NAME } from './configuration.ts';
import { describeOnNode } from './describe-on-node.ts';
import { namespace, pod } from './objects.ts';

const PLUGIN = join(import.meta.dirname, '../../src/kubectl-hotmount.ts');
const EDGE = 'edge-plugin';

describeOnNode('kubectl hotmount', (on) => {
  let disk: LoopDisk;
  /** As somebody who has the cluster's kubeconfig, at another machine. */
  const plugin = (...args: string[]) => {
    const { machine, kubeconfig } = on().node;
    return execute([...machine.enter, process.execPath, PLUGIN, ...args, '--kubeconfig', kubeconfig]);
  };
  const json = async <T>(...args: string[]): Promise<T> => {
    const { stdout, stderr } = await plugin(...args, '-o', 'json');
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout);
  };

  beforeAll(async () => {
    const { node, rig } = on();
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    await node.apply(pod('reader', { 'hotmount.io/media': 'usb', 'hotmount.io/lxcfs': 'meminfo' }), '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/reader', '-n', EDGE, '--timeout=60s');
    disk = new LoopDisk(rig, { label: 'PLUGIN' });
    disk.plug();
    await node.eventually(() => node.exec(EDGE, 'reader', 'ls', '/media/usb/PLUGIN'));
  });
  afterAll(async () => {
    await on().node.kubectl('delete', 'namespace', EDGE);
    disk?.pull();
    disk?.unplug();
  });

  test('shows what is plugged in on the node, and which pod sees it', async () => {
    const { nodes, policy } = await json<ClusterStatus>('status');
    expect(nodes).toHaveLength(1);
    expect(nodes[0]).toMatchObject({ node: NODE_NAME, status: { daemon: { ready: true } } });
    expect(nodes[0]?.status?.policy.digest).toBe(policy?.digest);
    const mounted = nodes[0]?.status?.mounted.find(({ label }) => label === 'PLUGIN');
    expect(mounted?.pods).toMatchObject([{ pod: `${EDGE}/reader` }]);

    const table = await plugin('status');
    expect(table, table.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(table.stdout).toMatch(new RegExp(`${NODE_NAME} +${disk.name} +usb +PLUGIN +\\d+s +${EDGE}/reader\\n`));
  });

  test('explains what the pod has, and that it works', async () => {
    const { pods, underPolicy } = await json<Explanation>('explain', 'reader', '-n', EDGE);
    expect(underPolicy?.denied).toEqual([]);
    expect(pods[0]).toMatchObject({ pod: `${EDGE}/reader`, node: NODE_NAME, phase: 'Running', problems: [] });
    expect(pods[0]?.has).toContainEqual(expect.objectContaining({ feature: 'lxcfs', item: 'meminfo', works: true }));
    expect(pods[0]?.has).toContainEqual(
      expect.objectContaining({ feature: 'media', now: `${disk.name} (PLUGIN)`, works: true }),
    );
  });

  test('finds the installation well', async () => {
    const { findings } = await json<CheckReport>('check', '-n', EDGE);
    // What this machine's lxcfs tells of the node is no fault of the installation.
    expect(findings.filter(({ severity, check }) => severity !== 'ok' && check !== 'lxcfs')).toEqual([]);
    expect(findings.length).toBeGreaterThan(8);
  });

  test('ejects a disk of the node', async () => {
    const { node } = on();
    const ejected = await plugin('eject', `${NODE_NAME}/${disk.name}`);
    expect(ejected, ejected.stderr).toMatchObject({ code: 0, stderr: `${disk.name}: unmounted: it can be pulled\n` });
    expect(await node.exec(EDGE, 'reader', 'ls', '/media/usb')).toBe('');
    const again = await plugin('eject', `${NODE_NAME}/nosuch`);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('nosuch');
  });
});
