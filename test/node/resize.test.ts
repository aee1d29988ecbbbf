import { cpus } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnNode } from './describe-on-node.ts';
import { namespace, pod } from './objects.ts';

const EDGE = 'edge-resize';
/** Writes down each new limit that it reads: a value that nobody has set would show. */
const READ = `
while :; do
  total=$(sed -n 's/^MemTotal: *//p' /proc/meminfo)
  [ "$total" = "$last" ] || echo "$total" >>/tmp/totals
  last=$total
  usleep 10000
done`;

/** Kubernetes resizes pods in place since 1.33. */
const IS_OLD = process.env['HOTMOUNT_KUBERNETES'] !== undefined;

describeOnNode('a pod that is resized in place', (on) => {
  const script = (text: string) => on().node.exec(EDGE, 'resized', 'sh', '-c', text);
  const resize = async (memory: string, cpu: string) => {
    const patch = { spec: { containers: [{ name: 'app', resources: { limits: { memory, cpu } } }] } };
    const flags = ['--subresource', 'resize', '-p', JSON.stringify(patch)];
    await on().node.kubectl('patch', 'pod', 'resized', '-n', EDGE, ...flags);
  };
  /** What its programs are told: its memory, and its processors by each of the views that show them. */
  const told = async () => {
    const [memory, ...processors] = (
      await script(`sed -n 's/^MemTotal: *//p' /proc/meminfo
        grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; cat /sys/devices/system/cpu/online`)
    ).split('\n');
    return { memory, processors };
  };
  const reads = (memory: string, processors: readonly string[]) =>
    on().node.eventually(async () => expect(await told()).toEqual({ memory, processors }), 90_000);

  beforeAll(async () => {
    const { node } = on();
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
  });
  afterAll(() => on().node.kubectl('delete', 'namespace', EDGE));

  test.skipIf(IS_OLD)('is told its new limits, up and down, in the same container', async () => {
    const { node } = on();
    const app = { command: ['sh', '-c', READ] };
    await node.apply(pod('resized', { 'hotmount.io/lxcfs': 'true' }, {}, app), '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/resized', '-n', EDGE, '--timeout=60s');
    const all = Math.min(2, cpus().length);
    const online = all === 1 ? '0' : '0-1';
    await reads('262144 kB', ['1', '1', '0']);

    await resize('320Mi', '2');
    await reads('327680 kB', [`${all}`, `${all}`, online]);
    await resize('192Mi', '1');
    await reads('196608 kB', ['1', '1', '0']);

    expect(await script('cat /tmp/totals')).toBe('262144 kB\n327680 kB\n196608 kB');
    const [{ restartCount }] = (await node.get('pod', 'resized', '-n', EDGE)).status.containerStatuses;
    expect(restartCount).toBe(0);
  });
});
