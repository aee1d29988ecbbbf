import { once } from 'node:events';
import type { V1Deployment, V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { whyLabCannotRun } from '../lab/requirements.ts';
import { makeStickImage } from '../lab/stick-image.ts';
import { SOAK } from '../settings.ts';
import { install, NAMESPACE } from './installation.ts';
import { LabMachine } from './lab-machine.ts';
import { Node } from './node.ts';
import { deployment, namespace, pod } from './objects.ts';

const EDGE = 'edge-systemd';
/** ms. The machine is emulated. */
const LONG = 3_600_000;
/** ms, of what a user waits for, in a machine's own time. */
const WAIT = 60_000;
const STATUS = ['hotmount', 'status', '-o', 'json'];
const KUBECTL_WAIT = '--timeout=20m';
/** A boot takes longer than pods wait for their node. */
const STAYS = { tolerations: [{ operator: 'Exists' }] };

const VALUES = {
  policy: {
    apiVersion: 'hotmount.io/v1alpha1',
    kind: 'Policy',
    mediaClasses: [{ name: 'usb', match: [{ bus: ['usb'] }] }],
    deviceClasses: [{ name: 'serial', match: [{ subsystem: ['tty'], devname: ['ttyUSB*'] }], access: 'rw' }],
    rules: [
      { name: 'edge', namespaces: ['edge-*'], allow: { lxcfs: true, live: true, media: ['usb'], devices: ['serial'] } },
    ],
  },
  // Emulated, Node.js takes half a minute to start.
  slowness: 10,
  webhook: { replicas: 1, timeoutSeconds: 30 },
  lxcfs: { extraArgs: ['--check-every=60'] },
};

/** In the soak alone. */
describe.runIf(SOAK)('a node with systemd, cgroup v2 and USB', () => {
  let machine: LabMachine;
  let node: Node<LabMachine>;
  let stick: string;
  const exec = (name: string, ...command: string[]) => node.exec(EDGE, name, ...command);
  const user = (...command: string[]) => exec('deployment/user', ...command);

  beforeAll(async () => {
    const obstacle = inject('nodeObstacle') || whyLabCannotRun();
    if (obstacle) throw new Error(obstacle);
    machine = await LabMachine.start(inject('nodeBinaries'), inject('nodeImage'));
    node = await Node.startOn(machine, inject('nodeBinaries'));
    await install(node, ['--timeout', '60m'], VALUES);
    await node.apply(namespace(EDGE));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    stick = await makeStickImage(machine.directory, { fs: 'vfat', label: 'STICK', files: { hello: 'from the stick' } });
  }, LONG);
  afterAll(() => machine?.stop(), 120_000);

  test(
    'gives a pod its limits, a stick and a serial adapter as they are plugged in, and takes them away',
    async () => {
      expect(await machine.sh('stat -fc %T /sys/fs/cgroup; cat /proc/1/comm')).toBe('cgroup2fs\nsystemd');
      await node.apply(deployment('user', 1, STAYS), '-n', EDGE);
      const annotations = ['lxcfs=meminfo', 'media=usb', 'devices=serial'].map((text) => `hotmount.io/${text}`);
      let tries = 0;
      // A workload stays as it is where it is annotated while the webhook does not answer in time.
      await node.eventually(async () => {
        const all = [...annotations, `example.org/tries=${++tries}`];
        await node.kubectl('annotate', '--overwrite', 'deployment', 'user', ...all, '-n', EDGE);
        const { spec }: V1Deployment = await node.get('deployment', 'user', '-n', EDGE);
        expect(spec?.template.metadata?.annotations).toHaveProperty(['hotmount.io/from-workload']);
      }, WAIT);
      await node.kubectl('rollout', 'status', 'deployment/user', '-n', EDGE, KUBECTL_WAIT);
      expect(await user('grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB$/);

      const plugged = await machine.lab.plugUsbStick({ image: stick });
      expect(await node.eventually(() => user('cat', '/media/usb/STICK/hello'), WAIT)).toBe('from the stick');
      await plugged.pull();
      await node.eventually(async () => expect(await user('ls', '/media/usb')).toBe(''), WAIT);

      const adapter = await machine.lab.plugUsbSerial();
      const port = await node.eventually(() => user('sh', '-c', 'ls /dev/hotmount/serial/ttyUSB*'), WAIT);
      const heard = once(adapter.wire, 'data');
      await node.eventually(() => user('sh', '-c', `echo hello >${port}`), WAIT);
      expect(String((await heard)[0])).toMatch(/^hello/);
      await adapter.pull();
      await node.eventually(async () => expect(await user('ls', '/dev/hotmount/serial')).toBe(''), WAIT);
    },
    LONG,
  );

  test(
    'gives a stick to a pod that runs, as it is annotated',
    async () => {
      await machine.lab.plugUsbStick({ image: stick });
      await node.eventually(() => node.apply(pod('live', { 'hotmount.io/live': 'true' }, STAYS), '-n', EDGE), WAIT);
      await node.kubectl('wait', '--for=condition=Ready', 'pod/live', '-n', EDGE, KUBECTL_WAIT);
      await node.eventually(() => node.kubectl('annotate', 'pod', 'live', 'hotmount.io/media=usb', '-n', EDGE), WAIT);
      const read = () => exec('live', 'cat', '/hotmount/media/usb/STICK/hello');
      expect(await node.eventually(read, WAIT)).toBe('from the stick');
    },
    LONG,
  );

  // Linux 6.1 cannot mount beneath: what is new is tucked beneath by propagation.
  test(
    'tells a container the same of its memory while lxcfs is killed',
    async () => {
      const read = 'while usleep 20000; do grep MemTotal /proc/meminfo; done >/tmp/read 2>/dev/null & echo $!';
      const reader = await user('sh', '-c', read);
      for (let time = 0; time < 3; time++) {
        await node.eventually(async () => {
          const status = await node.kubectl('exec', '-n', NAMESPACE, 'daemonset/hotmount-node', '--', ...STATUS);
          expect(JSON.parse(status).lxcfs).toMatchObject({ ready: true, settled: true });
          expect(await machine.sh('pidof lxcfs | wc -w')).toBe('2');
        }, WAIT);
        const published = await machine.sh('readlink /run/hotmount/lxcfs');
        await machine.sh('kill -9 "$(pgrep -f "^[^ ]*lxcfs .*/$1$")"', published);
        await machine.sh('until [ "$(readlink /run/hotmount/lxcfs)" != "$1" ]; do sleep 0.1; done', published);
        await node.eventually(
          async () => expect(await user('grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB$/),
          WAIT,
        );
      }
      await user('kill', reader);
      expect(await user('sh', '-c', 'sort /tmp/read | uniq -c')).toMatch(/^ *\d{2,} MemTotal: +262144 kB$/);
    },
    LONG,
  );

  test.each(['orderly', 'power cut'] as const)(
    'brings its pods back after a reboot (%s), with their limits and their disk',
    async (end) => {
      const { items: pods }: { items: V1Pod[] } = await node.get('pods', '-n', EDGE);
      expect(pods).toHaveLength(2);
      const bootId = () => machine.sh('cat /proc/sys/kernel/random/boot_id');
      const boot = await bootId();
      await machine.reboot(end, (lab) => lab.plugUsbStick({ image: stick }));
      expect(await bootId()).not.toBe(boot);
      await node.serveAfterBoot();

      for (const { metadata, status } of pods) {
        const restarts = status?.containerStatuses?.[0]?.restartCount ?? 0;
        await node.eventually(async () => {
          const back: V1Pod = await node.get('pod', metadata?.name ?? '', '-n', EDGE);
          expect(back.metadata?.uid).toBe(metadata?.uid);
          const [container] = back.status?.containerStatuses ?? [];
          expect(container).toMatchObject({ ready: true, restartCount: expect.toSatisfy((count) => count > restarts) });
        }, WAIT);
      }
      expect(await node.eventually(() => user('cat', '/media/usb/STICK/hello'), WAIT)).toBe('from the stick');
      const live = () => exec('live', 'cat', '/hotmount/media/usb/STICK/hello');
      expect(await node.eventually(live, WAIT)).toBe('from the stick');
      expect(await user('grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB$/);
    },
    LONG,
  );
});
