import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { LoopDisk, ZramDisk } from '../system/support/disks.ts';
import { describeOnNode } from './describe-on-node.ts';
import { NAMESPACE, RELEASE } from './installation.ts';
import { deployment, namespace, pod } from './objects.ts';
import { RAW_SIZE } from './policy.ts';

/** May ask for everything. */
const EDGE = 'edge-mission';
/** May ask for lxcfs alone. */
const SHOP = 'shop-mission';

describeOnNode('a user', (on) => {
  const run = async (...args: Parameters<typeof pod>) => {
    const [name] = args;
    await on().node.apply(pod(...args), '-n', EDGE);
    await on().node.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '-n', EDGE, '--timeout=60s');
  };
  const exec = (name: string, ...command: string[]) => on().node.exec(EDGE, name, ...command);

  beforeAll(async () => {
    await on().node.apply([namespace(EDGE, 'privileged'), namespace(SHOP, 'privileged')]);
    for (const name of [EDGE, SHOP]) {
      await on().node.eventually(() => on().node.kubectl('get', 'serviceaccount', 'default', '-n', name));
    }
  });
  afterAll(() => on().node.kubectl('delete', 'namespace', EDGE, SHOP));

  test('has helm test say that the webhook answers by its name', async () => {
    expect(await on().node.helm('test', RELEASE, '-n', NAMESPACE)).toMatch(/Phase:\s+Succeeded/);
  });

  test('annotates a Deployment, and its pods see their limits', async () => {
    const { node } = on();
    await node.apply(deployment('web'), '-n', EDGE);
    await node.kubectl('rollout', 'status', 'deployment/web', '-n', EDGE);
    const memory = () => exec('deployment/web', 'grep', 'MemTotal', '/proc/meminfo');
    expect(await memory()).not.toMatch(/ 262144 kB/);
    expect(await node.kubectl('annotate', 'deployment', 'web', 'hotmount.io/lxcfs=true', '-n', EDGE)).toBe(
      'deployment.apps/web annotated\n',
    );
    await node.kubectl('rollout', 'status', 'deployment/web', '-n', EDGE);
    expect(await memory()).toMatch(/^MemTotal: +262144 kB$/);
    expect(await exec('deployment/web', 'grep', '-c', '^processor', '/proc/cpuinfo')).toBe('1');
  });

  test('reads a disk that is plugged in while the pod runs, until it is pulled', async () => {
    const { node, rig } = on();
    await run('reader', { 'hotmount.io/media': 'usb' });
    expect(await exec('reader', 'ls', '/media/usb')).toBe('');
    const disk = new LoopDisk(rig, { label: 'STICK', files: { hello: 'from the disk' } });
    disk.plug();
    expect(await node.eventually(() => exec('reader', 'cat', '/media/usb/STICK/hello'))).toBe('from the disk');
    disk.pull();
    await node.eventually(async () => expect(await exec('reader', 'ls', '/media/usb')).toBe(''));
    disk.unplug();
  });

  test('opens a raw disk in a container without a privilege, until it is unplugged', async () => {
    const { node, rig } = on();
    const securityContext = { runAsUser: 65534, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
    await run('opener', { 'hotmount.io/devices': 'raw' }, {}, { securityContext });
    const disk = new ZramDisk(rig, { size: RAW_SIZE });
    const path = `/dev/hotmount/raw/${disk.name}`;
    // The magic number of ext4, as mkfs wrote it.
    const magic = `dd if=${path} bs=1 skip=1080 count=2 2>/dev/null | hexdump -e '1/2 "%x"'`;
    await node.eventually(async () => expect(await exec('opener', 'sh', '-c', magic)).toBe('ef53'));
    await disk.unplugWhenFree();
    await node.eventually(async () => expect(await exec('opener', 'ls', '/dev/hotmount/raw')).not.toContain(disk.name));
  });

  test('has mounts go from the node to a pod, and from a pod through the node to another', async () => {
    const { node } = on();
    const shared = '/run/mission';
    await node.machine.sh('mkdir -p "$1" && mount -t tmpfs mission "$1" && mount --make-shared "$1"', shared);
    const volumes = { volumes: [{ name: 'shared', hostPath: { path: shared, type: 'Directory' } }] };
    const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
    const mode = (name: string) => ({ 'hotmount.io/propagation': `shared=${name}` });
    await run('both', { ...mode('Bidirectional'), 'hotmount.io/privileged': 'true' }, volumes, { volumeMounts });
    await run('receives', mode('HostToContainer'), volumes, { volumeMounts });
    await run('alone', mode('None'), volumes, { volumeMounts });

    await node.machine.sh('mkdir "$1/node" && mount -t tmpfs node "$1/node" && touch "$1/node/file"', shared);
    await exec('both', 'sh', '-ec', 'mkdir /shared/pod; mount -t tmpfs pod /shared/pod; touch /shared/pod/file');
    const seen = (name: string) => exec(name, 'sh', '-c', 'cd /shared && ls */file 2>/dev/null; true');
    expect(await seen('both')).toBe('node/file\npod/file');
    expect(await seen('receives')).toBe('node/file\npod/file');
    expect(await seen('alone')).toBe('');
    expect(await node.machine.sh('cd "$1" && ls */file', shared)).toBe('node/file\npod/file');

    await node.kubectl('delete', 'pod', 'both', 'receives', 'alone', '-n', EDGE);
    await node.machine.sh('umount -R "$1"', shared);
  });

  test('runs a udevd in a pod, whose rules apply to a disk that is plugged in', async () => {
    const { node, rig } = on();
    // The node's own program, by its name: what is in /bin of this image is BusyBox'.
    const command = [
      'sh',
      '-ec',
      `ln -s usr/lib usr/lib64 /
       ln -s /usr/bin/udevadm /tmp/systemd-udevd
       mkdir /run/udev/rules.d
       echo 'KERNEL=="zram*", RUN+="/bin/sh -c \\"echo $env{ACTION} %k >>/run/udev/seen\\""' >/run/udev/rules.d/10-seen.rules
       exec /tmp/systemd-udevd`,
    ];
    const volumes = [{ name: 'usr', hostPath: { path: '/usr', type: 'Directory' } }];
    const volumeMounts = [{ name: 'usr', mountPath: '/usr', readOnly: true }];
    await run('udevd', { 'hotmount.io/uevents': 'udevd' }, { volumes }, { command, volumeMounts });
    await node.eventually(() => exec('udevd', 'ls', '/run/udev/control'));
    const disk = new ZramDisk(rig, { size: RAW_SIZE });
    const seen = (action: string) =>
      node.eventually(() => exec('udevd', 'grep', '-x', `${action} ${disk.name}`, '/run/udev/seen'));
    await seen('add');
    await disk.unplugWhenFree();
    await seen('remove');
    await node.kubectl('delete', 'pod', 'udevd', '-n', EDGE);
  });

  test('is told what is denied, and warned', async () => {
    const { node } = on();
    const denied = await node.tryWith('create', pod('asker', { 'hotmount.io/media': 'usb' }), '-n', SHOP);
    expect(denied.code).toBe(1);
    expect(denied.stderr).toContain(
      'admission webhook "pods.hotmount.io" denied the request: hotmount.io/media asks for media class "usb", which no policy rule allows',
    );
    const warned = await node.tryWith('create', pod('warned', { 'hotmount.io/lxcfs.nosuch': 'true' }), '-n', SHOP);
    expect(warned.stdout).toBe('pod/warned created\n');
    expect(warned.stderr).toMatch(/^Warning: .*nosuch/m);
  });

  test('gets the policy that an admin has edited, from the webhook and from the node', async () => {
    const { node, rig, hotmount } = on();
    await run('waiting', { 'hotmount.io/devices': 'raw' });
    const disk = new ZramDisk(rig, { size: RAW_SIZE });
    const listed = () => exec('waiting', 'ls', '/dev/hotmount/raw');
    await node.eventually(async () => expect(await listed()).toContain(disk.name));
    const edit = async (from: string, to: string) => {
      vi.stubEnv('KUBE_EDITOR', `sed -i s/${from}/${to}/g`);
      const said = await node.kubectl('edit', 'configmap', 'hotmount-policy', '-n', NAMESPACE);
      vi.unstubAllEnvs();
      expect(said).toBe('configmap/hotmount-policy edited\n');
    };

    await edit('edge-[*]', 'other-*');
    await node.eventually(async () => {
      const { stderr } = await node.tryWith(
        'create',
        pod('late', { 'hotmount.io/media': 'usb' }),
        '-n',
        EDGE,
        '--dry-run=server',
      );
      expect(stderr).toContain('which no policy rule allows');
    });
    await edit(`${RAW_SIZE}Mi`, `${RAW_SIZE + 1}Mi`);
    await node.eventually(async () => expect(await listed()).not.toContain(disk.name), 90_000);

    await hotmount.upgrade();
    await node.eventually(async () => expect(await listed()).toContain(disk.name), 90_000);
    await disk.unplugWhenFree();
  });

  test('is told by kubectl describe what a pod waits for', async () => {
    const { node, hotmount } = on();
    const { policy } = hotmount;
    const late = { name: 'late', match: [{ label: ['late'] }] };
    const rules = [{ name: 'all', namespaces: ['edge-*'], allow: { media: ['late'] } }];
    await hotmount.upgrade({ node: { enabled: false }, policy: { ...policy, mediaClasses: [late], rules } });
    const daemons = ['pod', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=node'];
    await node.kubectl('wait', '--for=delete', ...daemons, '--timeout=90s');
    // The webhook has it within two seconds.
    await node.eventually(() => node.apply(pod('waits', { 'hotmount.io/media': 'late' }), '-n', EDGE));
    await node.eventually(async () => {
      const said = await node.kubectl('describe', 'pod', 'waits', '-n', EDGE);
      expect(said).toMatch(/Warning +FailedMount .*"hotmount-media-late"/);
    }, 60_000);
    await node.kubectl('delete', 'pod', 'waits', '-n', EDGE, '--force');
    await hotmount.upgrade();
  });
});
