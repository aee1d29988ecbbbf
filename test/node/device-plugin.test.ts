import { afterAll, beforeAll, expect, test } from 'vitest';
import { ZramDisk } from '../system/support/disks.ts';
import { NODE_NAME } from './configuration.ts';
import { describeOnNode } from './describe-on-node.ts';
import { namespace, pod } from './objects.ts';
import { RAW_SIZE } from './policy.ts';

/** May ask for everything. */
const EDGE = 'edge-plugin';
const ANNOTATIONS = { 'hotmount.io/devices': 'raw', 'hotmount.io/schedule': 'true' };

describeOnNode('the device plugin', (on) => {
  const allocatable = async (): Promise<string | undefined> =>
    (await on().node.get('node', NODE_NAME)).status.allocatable['hotmount.io/raw'];
  const untilAllocatable = (count: string) =>
    on().node.eventually(async () => expect(await allocatable()).toBe(count), 60_000);
  const phase = async (name: string): Promise<string> => (await on().node.get('pod', name, '-n', EDGE)).status.phase;
  const untilPhase = (name: string, wanted: string) =>
    on().node.eventually(async () => expect(await phase(name)).toBe(wanted), 60_000);
  const isOpened = (name: string, disk: ZramDisk) =>
    on().node.eventually(() => on().node.exec(EDGE, name, 'dd', `if=/dev/hotmount/raw/${disk.name}`, 'count=1'));

  beforeAll(async () => {
    const { node, hotmount } = on();
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    await hotmount.upgrade({ node: { devicePlugin: true }, policy: { ...hotmount.policy, scheduleBy: 'resource' } });
  }, 300_000);
  afterAll(async () => {
    await on().node.kubectl('delete', 'namespace', EDGE);
    await on().hotmount.install();
  });

  test('has as many pods run as there are devices, and the others wait', async () => {
    const { node, rig, hotmount } = on();
    await untilAllocatable('0');
    await node.apply(pod('first', ANNOTATIONS), '-n', EDGE);
    await node.eventually(async () => {
      const { conditions } = (await node.get('pod', 'first', '-n', EDGE)).status;
      expect(conditions[0].message).toContain('Insufficient hotmount.io/raw');
    });
    const disk = new ZramDisk(rig, { size: RAW_SIZE });
    await untilAllocatable('1');
    await untilPhase('first', 'Running');
    await isOpened('first', disk);
    await node.apply(pod('second', ANNOTATIONS), '-n', EDGE);
    await node.eventually(async () =>
      expect((await node.get('pod', 'second', '-n', EDGE)).status.conditions).toHaveLength(1),
    );
    expect(await phase('second')).toBe('Pending');
    const isRegistered = async () => {
      const { resources } = (await hotmount.status()).devicePlugin;
      expect(resources).toContainEqual({ name: 'hotmount.io/raw', count: 1, registered: true });
    };
    await isRegistered();

    await node.restart('kubelet', 'KILL');
    // A kubelet that has not heard of the resource yet fails pods that ask for it (UnexpectedAdmissionError); the API server has the old count.
    await node.eventually(isRegistered);
    await untilAllocatable('1');
    expect([await phase('first'), await phase('second')]).toEqual(['Running', 'Pending']);

    await node.kubectl('delete', 'pod', 'first', '-n', EDGE);
    await untilPhase('second', 'Running');
    await isOpened('second', disk);
    await disk.unplugWhenFree();
    await untilAllocatable('0');
    // What runs stays.
    expect(await phase('second')).toBe('Running');
  }, 400_000);
});
