import { afterAll, beforeAll, expect, test } from 'vitest';
import { LoopDisk } from '../system/support/disks.ts';
import { describeOnNode } from './describe-on-node.ts';
import { NAMESPACE, RELEASE } from './installation.ts';
import { deployment, namespace, pod } from './objects.ts';

const EDGE = 'edge-mission';

describeOnNode('a user', (on) => {
  beforeAll(async () => {
    await on().node.apply(namespace(EDGE, 'privileged'));
    await on().node.eventually(() => on().node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
  });
  afterAll(() => on().node.kubectl('delete', 'namespace', EDGE));

  test('has helm test say that the webhook answers by its name', async () => {
    expect(await on().node.helm('test', RELEASE, '-n', NAMESPACE)).toMatch(/Phase:\s+Succeeded/);
  });

  test('annotates a Deployment, and its pods see their limits', async () => {
    const { node } = on();
    await node.apply(deployment('web'), '-n', EDGE);
    await node.kubectl('rollout', 'status', 'deployment/web', '-n', EDGE);
    const memory = async () => await node.exec(EDGE, 'deployment/web', 'grep', 'MemTotal', '/proc/meminfo');
    expect(await memory()).not.toMatch(/ 262144 kB/);
    expect(await node.kubectl('annotate', 'deployment', 'web', 'hotmount.io/lxcfs=true', '-n', EDGE)).toBe(
      'deployment.apps/web annotated\n',
    );
    await node.kubectl('rollout', 'status', 'deployment/web', '-n', EDGE);
    expect(await memory()).toMatch(/^MemTotal: +262144 kB$/);
    expect(await node.exec(EDGE, 'deployment/web', 'grep', '-c', '^processor', '/proc/cpuinfo')).toBe('1');
  });

  test('reads a disk that is plugged in while the pod runs, until it is pulled', async () => {
    const { node, rig } = on();
    await node.apply(pod('reader', { 'hotmount.io/media': 'usb' }), '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/reader', '-n', EDGE, '--timeout=60s');
    expect(await node.exec(EDGE, 'reader', 'ls', '/media/usb')).toBe('');
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    const read = () => node.exec(EDGE, 'reader', 'cat', '/media/usb/STICK/hello');
    expect(await node.eventually(read)).toBe('from the disk');
    disk.pull();
    await node.eventually(async () => expect(await node.exec(EDGE, 'reader', 'ls', '/media/usb')).toBe(''));
    disk.unplug();
  });
});
