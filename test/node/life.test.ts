import { afterAll, beforeAll, expect, test } from 'vitest';
import { SOAK } from '../settings.ts';
import { LoopDisk } from '../system/support/disks.ts';
import { describeOnNode } from './describe-on-node.ts';
import { NAMESPACE, RELEASE } from './installation.ts';
import { deployment, namespace, pod } from './objects.ts';

const EDGE = 'edge-life';
const TIMES = SOAK ? 20 : 3;

/** Reads its limit some hundred times a second. An error is allowed while lxcfs is replaced, another value never is. */
const READ = `
while :; do
  total=$(sed -n 's/^MemTotal: *//p' /proc/meminfo 2>/dev/null)
  case "$total" in '262144 kB' | '') ;; *) echo "$total" >>/tmp/wrong ;; esac
  : $((reads += 1)); echo $reads >/tmp/reads
  usleep 10000
done`;

/** Numbers the lines that it writes onto the disk, as soon as there is one; goes on with the number where it is started again. */
const WRITE = `
until [ -d /media/usb/LIFE ]; do usleep 50000; done
lines=$(cat /media/usb/LIFE/lines 2>/dev/null | wc -l)
while :; do
  until [ -d /media/usb/LIFE ]; do usleep 50000; done
  echo $((lines += 1)) >>/media/usb/LIFE/lines || echo $lines >>/tmp/failed
  usleep 20000
done`;

/** What happens to a node, with pods at work: no line that they write is lost, and no wrong value is read. */
describeOnNode('the life of a node', (on) => {
  let disk: LoopDisk;
  const exec = (name: string, ...command: string[]) => on().node.exec(EDGE, name, ...command);
  const script = (name: string, text: string) => exec(name, 'sh', '-c', text);

  beforeAll(async () => {
    const { node, rig } = on();
    await node.apply(namespace(EDGE, 'privileged'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    disk = new LoopDisk(rig, { label: 'LIFE' });
    await node.apply(
      [
        pod('reader', { 'hotmount.io/lxcfs': 'meminfo' }, {}, { command: ['sh', '-c', READ] }),
        pod('writer', { 'hotmount.io/media': 'usb' }, {}, { command: ['sh', '-c', WRITE] }),
      ],
      '-n',
      EDGE,
    );
    for (const name of ['reader', 'writer']) {
      await node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', EDGE, '--timeout=60s');
    }
    disk.plug();
    await node.eventually(() => exec('writer', 'ls', '/media/usb/LIFE/lines'));
  });
  afterAll(async () => {
    await on().node.kubectl('delete', 'namespace', EDGE);
    disk?.pull();
    disk?.unplug();
  });

  /** Both go on, and have done no wrong. */
  const goOn = async () => {
    const { node } = on();
    const count = async (name: string, text: string) => {
      const number = Number.parseInt(await script(name, text), 10);
      if (!(number > 0)) throw new Error(`${name} has counted ${number}`);
      return number;
    };
    const counts = async () => [
      await count('reader', 'grep -q "MemTotal: *262144 kB" /proc/meminfo && cat /tmp/reads'),
      await count('writer', 'tail -n 1 /media/usb/LIFE/lines'),
    ];
    const before = await node.eventually(counts);
    await node.eventually(async () => {
      const after = await counts();
      for (const [i, count] of after.entries()) expect(count).toBeGreaterThan(before[i] as number);
    });
    expect(await script('reader', 'cat /tmp/wrong 2>/dev/null; true')).toBe('');
    expect(await script('writer', 'cat /tmp/failed 2>/dev/null; true')).toBe('');
    expect(await script('writer', 'awk "\\$1 != NR" /media/usb/LIFE/lines')).toBe('');
  };
  const rolledOut = async (...names: string[]) => {
    for (const name of names) {
      await on().node.kubectl('rollout', 'status', `daemonset/${name}`, '-n', NAMESPACE, '--timeout=120s');
    }
  };
  /** Its limit, and the disk. A Deployment may not know yet that a pod of its has gone. */
  const hasBoth = (name: string) =>
    on().node.eventually(async () => {
      expect(await exec(name, 'grep', 'MemTotal', '/proc/meminfo')).toMatch(/ 262144 kB/);
      expect(await exec(name, 'ls', '/media/usb')).toBe('LIFE');
    });
  const bothInstances = () =>
    on().node.eventually(async () => {
      const { lxcfs } = await on().hotmount.status();
      expect(lxcfs).toMatchObject({ ready: true, settled: true });
      expect(await on().node.machine.sh('pidof lxcfs | wc -w')).toBe('2');
    }, 60_000);

  test(`goes on while lxcfs is killed (${TIMES} times)`, async () => {
    for (let time = 0; time < TIMES; time++) {
      await bothInstances();
      await on().node.machine.sh('set -- $(pidof lxcfs); kill -9 $1');
    }
    await bothInstances();
    await goOn();
  });

  test('goes on while the daemon’s pod is deleted', async () => {
    await on().node.kubectl('delete', 'pod', '-l', 'app.kubernetes.io/component=node', '-n', NAMESPACE);
    await rolledOut('hotmount-node');
    await goOn();
  });

  test('goes on while both DaemonSets are upgraded, and rolled back', async () => {
    const { node, hotmount } = on();
    const podAnnotations = { upgraded: 'yes' };
    await hotmount.upgrade({ node: { podAnnotations }, lxcfs: { podAnnotations } });
    await rolledOut('hotmount-node', 'hotmount-lxcfs');
    await goOn();
    await node.helm('rollback', RELEASE, '-n', NAMESPACE, '--wait', '--force-conflicts');
    await rolledOut('hotmount-node', 'hotmount-lxcfs');
    await goOn();
  });

  test('goes on while the kubelet and containerd are restarted', async () => {
    const { node } = on();
    await node.restart('containerd', 'KILL');
    await node.restart('kubelet', 'KILL');
    await node.untilNodeReady();
    await goOn();
  });

  test('puts right what was lost with lxcfs’ pod', async () => {
    const { node } = on();
    await node.kubectl('delete', 'pod', '-l', 'app.kubernetes.io/component=lxcfs', '-n', NAMESPACE);
    await rolledOut('hotmount-lxcfs');
    await bothInstances();
    // Where the next lxcfs takes longer than half a second, containers read the node's values until then (docs/lxcfs.md).
    const nodes = await node.machine.sh("sed -n 's/^MemTotal: *//p' /proc/meminfo");
    expect(await script('reader', 'sort -u /tmp/wrong 2>/dev/null; rm -f /tmp/wrong')).toBeOneOf(['', nodes]);
    await goOn();
  });

  test('gives a container that is restarted what it had', async () => {
    const { node } = on();
    const restarts = async () =>
      (await node.get('pod', 'writer', '-n', EDGE)).status.containerStatuses[0].restartCount as number;
    const lines = async () => Number(await script('writer', 'wc -l </media/usb/LIFE/lines'));
    const before = await lines();
    // The oldest: a child that it has just forked has the same command line.
    await node.machine.sh('kill -9 $(pgrep -o -f "[u]ntil .*LIFE")');
    await node.eventually(async () => expect(await restarts()).toBe(1), 60_000);
    await node.eventually(async () => expect(await lines()).toBeGreaterThan(before), 60_000);
  });

  test(`gives a container that crashes again and again what it had, each time`, async () => {
    const { node } = on();
    // 1: it has read its limit, and written onto the disk.
    const command = [
      'sh',
      '-c',
      `grep -q 'MemTotal: *262144 kB' /proc/meminfo || exit 2; echo >>/media/usb/LIFE/crashes`,
    ];
    command[2] += ` || exit 3; exit 1`;
    await node.apply(
      pod('crashes', { 'hotmount.io/lxcfs': 'meminfo', 'hotmount.io/media': 'usb' }, {}, { command }),
      '-n',
      EDGE,
    );
    for (let restarts = 1; restarts <= (SOAK ? 5 : 2); restarts++) {
      await node.eventually(async () => {
        const [{ restartCount, lastState }] = (await node.get('pod', 'crashes', '-n', EDGE)).status.containerStatuses;
        expect(lastState.terminated?.exitCode ?? 1).toBe(1);
        expect(restartCount).toBeGreaterThanOrEqual(restarts);
      }, 180_000);
    }
    const starts = Number(await script('writer', 'wc -l </media/usb/LIFE/crashes'));
    expect(starts).toBeGreaterThanOrEqual(SOAK ? 5 : 2);
    await node.kubectl('delete', 'pod', 'crashes', '-n', EDGE);
    await goOn();
  }, 600_000);

  test('gives the pod that comes in place of an evicted one what that had', async () => {
    const { node } = on();
    await node.apply(deployment('evicted', 1), '-n', EDGE);
    await node.kubectl(
      'annotate',
      'deployment',
      'evicted',
      'hotmount.io/lxcfs=meminfo',
      'hotmount.io/media=usb',
      '-n',
      EDGE,
    );
    await node.kubectl('rollout', 'status', 'deployment/evicted', '-n', EDGE, '--timeout=60s');
    const pods = async () => (await node.get('pods', '-n', EDGE, '-l', 'app=evicted')).items;
    const [{ metadata }] = await pods();
    const eviction = {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name: metadata.name, namespace: EDGE },
    };
    const path = `/api/v1/namespaces/${EDGE}/pods/${metadata.name}/eviction`;
    expect(await node.tryKubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction))).toMatchObject({
      code: 0,
    });
    await node.kubectl('wait', '--for=delete', `pod/${metadata.name}`, '-n', EDGE, '--timeout=60s');
    await node.kubectl('rollout', 'status', 'deployment/evicted', '-n', EDGE, '--timeout=60s');
    await hasBoth('deployment/evicted');
    await goOn();
  });

  test('gives pods that come back after a drain what they had', async () => {
    const { node } = on();
    await node.apply(deployment('drained', 1), '-n', EDGE);
    await node.kubectl(
      'annotate',
      'deployment',
      'drained',
      'hotmount.io/lxcfs=meminfo',
      'hotmount.io/media=usb',
      '-n',
      EDGE,
    );
    await node.kubectl('rollout', 'status', 'deployment/drained', '-n', EDGE, '--timeout=60s');
    // The webhook's own pods have nowhere to go from the only node.
    const selector = ['--pod-selector', 'app=drained'];
    await node.kubectl('drain', 'node1', '--ignore-daemonsets', '--delete-emptydir-data', ...selector, '--timeout=60s');
    await node.eventually(async () => {
      const { items } = await node.get('pods', '-n', EDGE, '-l', 'app=drained');
      expect(items.map(({ status }: { status: { phase: string } }) => status.phase)).toEqual(['Pending']);
    });
    await node.kubectl('uncordon', 'node1');
    await node.kubectl('rollout', 'status', 'deployment/drained', '-n', EDGE, '--timeout=60s');
    await hasBoth('deployment/drained');
    await goOn();
  });
});
