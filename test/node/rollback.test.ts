import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SOAK } from '../settings.ts';
import { LoopDisk } from '../system/support/disks.ts';
import { describeOnNode, type OnNode } from './describe-on-node.ts';
import { CHART, commandsAfter, NAMESPACE, RELEASE } from './installation.ts';
import { namespace, pod } from './objects.ts';

const EDGE = 'edge-rollback';
const ANNOTATIONS = { 'hotmount.io/lxcfs': 'meminfo', 'hotmount.io/media': 'usb' };

/** What an older chart makes of a cluster: pods get hostPath volumes, and nothing is a CSI driver. */
const NAME = 'a chart without the CSI driver';
if (SOAK) describeOnNode(NAME, tests);
else test.skip(`${NAME} (skipped, because it takes four minutes: npm run test:soak)`);

function tests(on: () => OnNode): void {
  let disk: LoopDisk;
  let chart: string;
  let older: string;
  beforeAll(async () => {
    const { node, rig, hotmount } = on();
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    disk = new LoopDisk(rig, { label: 'BACK' });
    chart = await mkdtemp(join(tmpdir(), 'hotmount-chart-'));
    await cp(CHART, chart, { recursive: true });
    await rm(join(chart, 'templates/csi-driver.yaml'));
    await hotmount.upgrade({ volumes: 'hostPath', node: { extraArgs: ['--no-csi'] } }, chart);
    older = String(JSON.parse(await node.helm('status', RELEASE, '-n', NAMESPACE, '-o', 'json')).version);
    await hotmount.install();
  });
  afterAll(async () => {
    await on().hotmount.install();
    await on().node.kubectl('delete', 'namespace', EDGE);
    disk?.pull();
    disk?.unplug();
    if (chart) await rm(chart, { recursive: true });
  });

  const start = async (name: string) => {
    // With a moment to end in: a pod without any is gone from the API before its volumes are from the node.
    await on().node.apply(pod(name, ANNOTATIONS, { terminationGracePeriodSeconds: 1 }), '-n', EDGE);
    await on().node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', EDGE, '--timeout=60s');
  };
  /** The webhook's old pods still answer for some seconds. */
  const untilPodsGet = (kind: 'csi' | 'hostPath') =>
    on().node.eventually(async () => {
      const made = await on().node.tryWith(
        'create',
        pod('try', ANNOTATIONS),
        '-n',
        EDGE,
        '--dry-run=server',
        '-o=json',
      );
      const { volumes } = JSON.parse(made.stdout).spec as { volumes: Array<{ name: string }> };
      expect(volumes.find(({ name }) => name === 'hotmount-media-usb')).toHaveProperty(kind);
    }, 60_000);
  const goesOn = (name: string) =>
    on().node.eventually(async () => {
      expect(await on().node.exec(EDGE, name, 'grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB$/);
      expect(await on().node.exec(EDGE, name, 'ls', '/media/usb')).toBe('BACK');
    }, 60_000);
  const rollBack = async () => {
    await on().node.helm('rollback', RELEASE, older, '-n', NAMESPACE, '--wait', '--force-conflicts');
    on().hotmount.isGone();
  };

  test('leaves running pods what they have; those that are deleted wait until the driver is back', async () => {
    const { node, hotmount } = on();
    disk.plug();
    await untilPodsGet('csi');
    await start('kept');
    await start('deleted');
    await rollBack();
    await node.kubectl('rollout', 'status', 'daemonset/hotmount-node', '-n', NAMESPACE, '--timeout=120s');
    expect(await node.kubectl('get', 'csidrivers', '-o', 'name')).not.toContain('hotmount.io');
    await goesOn('kept');
    await node.machine.sh('set -- $(pidof lxcfs); kill -9 $1');
    await goesOn('kept');

    await untilPodsGet('hostPath');
    await start('new');
    await goesOn('new');
    await node.kubectl('delete', 'pod', 'new', '-n', EDGE, '--timeout=60s');

    await node.kubectl('delete', 'pod', 'deleted', '-n', EDGE, '--wait=false');
    await node.eventually(async () => {
      const { status, metadata } = await node.get('pod', 'deleted', '-n', EDGE);
      expect(metadata.deletionTimestamp).toBeDefined();
      expect(status.containerStatuses[0].state).toHaveProperty('terminated');
    }, 60_000);

    await hotmount.install();
    await node.kubectl('wait', '--for=delete', 'pod/deleted', '-n', EDGE, '--timeout=180s');
    await goesOn('kept');
  }, 400_000);

  test('is gone back to as docs/install.md has it', async () => {
    const { node, hotmount } = on();
    const [change = '', list = ''] = commandsAfter('### Back to a version without the CSI driver');
    await hotmount.type(`${change} --wait --force-conflicts`);
    const [command = '', filter = ''] = list.split(' | grep ');
    const listed = async () =>
      (await hotmount.type(command)).split('\n').filter((line) => line.includes(filter.trim()));
    expect(await listed()).toEqual([expect.stringMatching(new RegExp(`^${EDGE} +kept +`))]);
    await untilPodsGet('hostPath');
    await node.kubectl('delete', 'pod', 'kept', '-n', EDGE, '--timeout=90s');
    await start('kept');
    expect(await listed()).toEqual([]);
    await rollBack();
    await goesOn('kept');
    await node.kubectl('delete', 'pod', 'kept', '-n', EDGE, '--timeout=60s');
  }, 400_000);
}
