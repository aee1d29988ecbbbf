import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../src/contract/json.ts';
import { SOAK } from '../settings.ts';
import { LoopDisk, ZramDisk } from '../system/support/disks.ts';
import { crash } from './crash.ts';
import { describeOnNode } from './describe-on-node.ts';
import { NAMESPACE } from './installation.ts';
import { namespace, pod } from './objects.ts';
import { RAW_SIZE } from './policy.ts';

const EDGE = 'edge-live';
/** What the level `restricted` wants of every pod. */
const MODEST = {
  securityContext: { runAsNonRoot: true, runAsUser: 65_534, seccompProfile: { type: 'RuntimeDefault' } },
};
const POWERLESS = { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } };
const livePod = (name: string): JsonObject => pod(name, { 'hotmount.io/live': 'true' }, MODEST, POWERLESS);
const STICK = '/hotmount/media/usb/STICK';

/** A script that prints ext4's magic number, from the disk itself. */
const magic = (disk: string): string =>
  `dd if=/hotmount/devices/raw/${disk} bs=1 skip=1080 count=2 2>/dev/null | hexdump -e '1/2 "%x"'`;

describeOnNode('a pod that runs', (on) => {
  let disk: LoopDisk;
  const exec = (name: string, ...command: string[]) => on().node.exec(EDGE, name, ...command);
  const reads = (name: string) =>
    on().node.eventually(async () => expect(await exec(name, 'cat', `${STICK}/hello`)).toBe('from the disk'));
  const gone = (name: string) =>
    on().node.eventually(async () => expect(await exec(name, 'ls', '/hotmount/media')).toBe(''));
  const annotate = (...words: string[]) => on().node.kubectl('annotate', 'pod', '-n', EDGE, ...words);
  const taken = async (place: string) =>
    (await on().hotmount.status()).live.taken.find((one: { class: string }) => one.class === place);

  beforeAll(async () => {
    const { node, rig } = on();
    await node.apply(namespace(EDGE, 'restricted'));
    await node.eventually(() => node.kubectl('get', 'serviceaccount', 'default', '-n', EDGE));
    disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    // Root alone may write to an ext4 file system that has just been made.
    await node.eventually(() => node.machine.sh('chmod 777 /run/hotmount/media/usb/STICK'));
    await node.apply([livePod('web'), pod('fixed', {}, MODEST, POWERLESS)], '-n', EDGE);
    await node.kubectl('wait', '--for=condition=Ready', 'pod/web', 'pod/fixed', '-n', EDGE, '--timeout=90s');
  });
  afterAll(async () => {
    await on().node.kubectl('delete', 'namespace', EDGE);
    disk?.pull();
    disk?.unplug();
  });

  test('reads and writes a stick from when it is annotated, until it no longer is; who holds a file of it is named', async () => {
    await on().node.eventually(async () => expect(await exec('web', 'ls', '/hotmount')).toBe('devices\nmedia\nstatus'));
    expect(await annotate('web', 'hotmount.io/media=usb')).toBe('pod/web annotated\n');
    await reads('web');
    await exec('web', 'sh', '-c', `echo written >${STICK}/note`);
    expect(await exec('web', 'cat', `${STICK}/note`)).toBe('written');
    await on().node.eventually(async () => {
      const told = JSON.parse(await exec('web', 'cat', '/hotmount/status'));
      expect(told).toEqual({ media: ['usb'], devices: [], notGiven: [] });
    });

    await exec('web', 'sh', '-c', `tail -f ${STICK}/note >/dev/null 2>&1 & sleep 0.2`);
    await annotate('web', 'hotmount.io/media-');
    await gone('web');
    await on().node.eventually(async () => {
      expect(await taken('media/usb')).toMatchObject({ pod: `${EDGE}/web`, holders: [{ command: 'tail' }] });
    });
    // The stick is still mounted, for others.
    const { mounted } = await on().hotmount.status();
    expect(mounted.map(({ label }: { label: string }) => label)).toContain('STICK');
    await exec('web', 'killall', 'tail');
  });

  test('opens a raw disk from when it is annotated, until it no longer is', async () => {
    const raw = new ZramDisk(on().rig, { size: RAW_SIZE });
    await annotate('web', 'hotmount.io/devices=raw');
    await on().node.eventually(async () => expect(await exec('web', 'sh', '-c', magic(raw.name))).toBe('ef53'));
    await annotate('web', 'hotmount.io/devices-');
    await on().node.eventually(async () => {
      const { devices } = await on().hotmount.status();
      expect(devices.flatMap(({ containers }: { containers: unknown[] }) => containers)).toEqual([]);
    });
    await on().node.eventually(async () => expect(await exec('web', 'ls', '/hotmount/devices')).toBe(''));
    await raw.unplugWhenFree();
  });

  test('is told where it is not live, and where the policy does not allow it', async () => {
    const { node } = on();
    const { stderr } = await node.tryKubectl(['annotate', 'pod', 'fixed', 'hotmount.io/media=usb', '-n', EDGE]);
    expect(stderr).toContain(
      'Warning: the pod is not live, so that the change of hotmount.io/media does nothing to it',
    );
    const denied = await node.tryKubectl(['annotate', 'pod', 'web', 'hotmount.io/media=nosuch', '-n', EDGE]);
    expect(denied.code).toBe(1);
    expect(denied.stderr).toContain(
      'hotmount.io/media names the media class "nosuch", and the policy has no such class',
    );
  });

  test('is given it while the daemon is killed, the kubelet restarted, and the DaemonSet updated', async () => {
    const { node, hotmount } = on();
    const { pid } = (await hotmount.status()).daemon;
    await node.machine.sh('kill -9 "$1"', String(pid));
    await annotate('web', 'hotmount.io/media=usb');
    await node.eventually(() => reads('web'), 90_000);
    await node.restart('kubelet', 'KILL');
    await node.untilNodeReady();
    await annotate('web', 'hotmount.io/media-');
    await node.eventually(() => gone('web'), 90_000);
    await annotate('web', 'hotmount.io/media=usb');
    await node.eventually(() => reads('web'), 90_000);
    await hotmount.upgrade({ node: { podAnnotations: { updated: 'yes' } } });
    await node.kubectl('rollout', 'status', 'daemonset/hotmount-node', '-n', NAMESPACE, '--timeout=120s');
    await reads('web');
    await annotate('web', 'hotmount.io/media-');
    await node.eventually(() => gone('web'), 90_000);
  }, 400_000);

  test('has its disk and its device again after the node has crashed and come back', async () => {
    const { node, hotmount } = on();
    const raw = new ZramDisk(on().rig, { size: RAW_SIZE });
    await annotate('web', 'hotmount.io/media=usb', 'hotmount.io/devices=raw');
    const hasBoth = async () => {
      expect(await exec('web', 'cat', `${STICK}/hello`)).toBe('from the disk');
      expect(await exec('web', 'sh', '-c', magic(raw.name))).toBe('ef53');
    };
    await node.eventually(hasBoth);
    const uid = (await node.get('pod', 'web', '-n', EDGE)).metadata.uid;

    await crash(node);
    await node.eventually(hasBoth, 180_000);
    await node.eventually(async () => {
      const { live, devices } = await hotmount.status();
      expect(live.pods).toMatchObject([{ podUid: uid, media: ['usb'], devices: ['raw'], notGiven: [] }]);
      expect(devices).toMatchObject([{ containers: [{ state: 'granted' }] }]);
      // A mount for each class, and one for the stick: nothing is there twice.
      expect(await node.machine.sh('ls /run/hotmount/live; grep -c /run/hotmount/live/ /proc/self/mountinfo')).toBe(
        `${uid}\n3`,
      );
    });
    for (const name of ['daemonset/hotmount-node', 'daemonset/hotmount-lxcfs', 'deployment/hotmount-webhook']) {
      await node.kubectl('rollout', 'status', name, '-n', NAMESPACE, '--timeout=120s');
    }
    await annotate('web', 'hotmount.io/media-', 'hotmount.io/devices-');
    await gone('web');
    await raw.unplugWhenFree();
  }, 400_000);

  const PODS = SOAK ? 50 : 5;
  test(`is one of ${PODS} that are annotated at once, and go without a trace`, async () => {
    const { node, hotmount } = on();
    const names = Array.from({ length: PODS }, (_, i) => `many-${i}`);
    await node.apply(names.map(livePod), '-n', EDGE);
    const all = names.map((name) => `pod/${name}`);
    await node.kubectl('wait', '--for=condition=Ready', ...all, '-n', EDGE, '--timeout=600s');
    await annotate(...names, 'hotmount.io/media=usb');
    for (const name of names) await reads(name);
    await node.kubectl('delete', ...all, 'pod/web', '-n', EDGE, '--timeout=600s');
    await node.eventually(async () => {
      expect((await hotmount.status()).live.pods).toEqual([]);
      expect(await node.machine.sh('ls /run/hotmount/live; sed -n "/hotmount.live./p" /proc/self/mountinfo')).toBe('');
    }, 60_000);
  }, 900_000);
});
