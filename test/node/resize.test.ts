import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, test } from 'vitest';
import { describeOnNode } from './describe-on-node.ts';
import { namespace, pod } from './objects.ts';

const EDGE = 'edge-resize';

describeOnNode('a pod that the kubelet resizes in place', (on) => {
  beforeAll(async () => {
    const { node } = on();
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    await node.apply([pod('resized', { 'hotmount.io/lxcfs': 'meminfo,cpuinfo' })], '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/resized', '-n', EDGE, '--timeout=60s');
  });
  afterAll(async () => void (await on().node.kubectl('delete', 'namespace', EDGE)));

  const reads = (memory: number, processors: number) => {
    const checks = `grep -q "MemTotal: *${memory * 1024} kB" /proc/meminfo && [ $(grep -c ^processor /proc/cpuinfo) = ${processors} ]`;
    return on().node.eventually(() => on().node.exec(EDGE, 'resized', 'sh', '-c', checks));
  };
  const resize = (limits: Readonly<Record<string, string>>) => {
    const patch = { spec: { containers: [{ name: 'app', resources: { limits } }] } };
    const args = ['--subresource', 'resize', '--patch', JSON.stringify(patch)];
    return on().node.kubectl('patch', 'pod', 'resized', '-n', EDGE, ...args);
  };

  test('reads its new limits, without a restart', async () => {
    const { node } = on();
    const count = Math.min(2, availableParallelism());
    await reads(256, 1);
    await resize({ memory: '384Mi', cpu: '2' });
    await reads(384, count);
    await resize({ memory: '320Mi', cpu: '1' });
    await reads(320, 1);
    const restarts = '{.status.containerStatuses[0].restartCount}';
    const json = await node.kubectl('get', 'pod', 'resized', '-n', EDGE, '-o', `jsonpath=${restarts}`);
    if (json.trim() !== '0') throw new Error(`it was restarted ${json} times`);
  });
});
