import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { describeWithQemu } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { type Lab, startLab } from './lab.ts';
import { GuestLivePod, KUBELET_DIR, liveRule } from './live-pod.ts';
import { startPodContainer } from './pod-container.ts';

/** Most edge boxes have this architecture, and numbers of the kernel's that differ. One boot for all, and every kind of work once. */
describeWithQemu('on arm64', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ architecture: 'arm64', memoryMiB: 1024 });
    // The first start compiles the sources, which takes an emulated machine half a minute; later ones read the cache.
    await lab.sh('node src/cli.ts node --help && node src/cli.ts lxcfs --help', { timeoutMs: DEADLINE });
  }, 600_000);
  beforeEach(({ onTestFailed }) => onTestFailed(() => void process.stderr.write(lab.console())));
  afterAll(() => lab?.stop());

  test('disks appear in a container from plug to gone, by loop and by USB, and the daemon ends when it is told to', {
    timeout: 5 * DEADLINE,
  }, async () => {
    expect(await lab.sh('uname -m')).toBe('aarch64');
    const node = await startGuestNode(lab, [{ name: 'all', match: [{ fsType: ['ext4', 'vfat'] }] }]);
    const container = await startPodContainer(lab, `${RUN_DIR}/media/all`);

    await lab.sh('truncate -s 8M /tmp/disk && mkfs.ext4 -q -L LOOP /tmp/disk && losetup /dev/loop0 /tmp/disk', {
      timeoutMs: DEADLINE,
    });
    await container.sh('until [ -d /media/LOOP/lost+found ]; do sleep 0.1; done; echo written > /media/LOOP/file');
    // As a card is pulled from a reader: what is mounted cannot be detached.
    await lab.sh('until [ $(cat /sys/block/loop0/size) = 0 ]; do truncate -s 0 /tmp/disk; losetup -c /dev/loop0; done');
    await container.sh('until [ ! -e /media/LOOP ]; do sleep 0.1; done');

    const image = await lab.makeStick({ fs: 'vfat', label: 'STICK', files: { 'a.txt': 'of the stick' } });
    const stick = await lab.plugUsbStick({ image });
    expect(await container.sh('until [ -e /media/STICK/a.txt ]; do sleep 0.1; done; cat /media/STICK/a.txt')).toBe(
      'of the stick',
    );
    await expect
      .poll(async () => (await node.status()).mounted, { timeout: DEADLINE })
      .toMatchObject([{ label: 'STICK', fsType: 'vfat', containers: 1 }]);
    await stick.pull();
    await container.sh('until [ ! -e /media/STICK ]; do sleep 0.1; done');
    await node.unmounted('STICK');

    node.process.kill('SIGTERM');
    expect(await node.process.exited).toEqual({ code: 0, signal: null });
  });

  test('a serial adapter is opened in an unprivileged container of a live pod on cgroup v2, and access is taken back', {
    timeout: 5 * DEADLINE,
  }, async () => {
    const live = await GuestLivePod.publish(lab);
    const classes = [{ name: 'serial', match: [{ subsystem: ['tty'], bus: ['usb'] }] }];
    const rules = [liveRule('edge', { devices: ['serial'] })];
    const node = await startGuestNode(lab, [], classes, ['--kubelet-dir', KUBELET_DIR], rules);
    const container = await live.start();
    await live.annotate({ 'hotmount.io/devices': 'serial' });
    const adapter = await lab.plugUsbSerial({ serial: 'ARM-1' });
    const port = `/hotmount/devices/serial/${await adapter.tty()}`;
    const received: string[] = [];
    adapter.wire.setEncoding('utf8').on('data', (text: string) => received.push(text));
    await container.sh(`until stty -F ${port} 115200 raw -echo 2> /tmp/error; do sleep 0.1; done`);
    await container.sh(`echo from the container > ${port}`);
    await expect.poll(() => received.join(''), { timeout: DEADLINE }).toContain('from the container');
    await live.annotate({});
    await container.sh(`until [ ! -e ${port} ]; do sleep 0.1; done`);
    await node.process.waitForOutput(/access to a device taken back/, DEADLINE);
    await adapter.pull();
  });

  test('lxcfs shows a container its limit, also after it was killed, and its supervisor ends when it is told to', {
    timeout: 8 * DEADLINE,
  }, async () => {
    // Else an lxcfs that has no processor for a while counts as one that hangs.
    const env = { HOTMOUNT_SLOWNESS: '10' };
    const supervisor = lab.spawn(`exec node src/cli.ts lxcfs --run-dir ${RUN_DIR} --check-every 60`, { env });
    await supervisor.waitForOutput(/"lxcfs is ready"[\s\S]*"lxcfs is ready"/, 3 * DEADLINE);
    const container = await startPodContainer(lab, `${RUN_DIR}/lxcfs/proc/meminfo`, '/proc/meminfo');
    await lab.sh(`echo 64M > /sys/fs/cgroup${container.cgroup}/memory.max`);
    const isLimited = `until grep -q 'MemTotal: *65536 kB' /proc/meminfo; do sleep 0.1; done`;
    await container.sh(isLimited);
    const published = await lab.sh(`readlink ${RUN_DIR}/lxcfs`);
    await lab.sh(`kill -9 $(pgrep -f '^[^ ]*lxcfs .*${RUN_DIR}/${published}$')`);
    await lab.waitUntil(`[ $(readlink ${RUN_DIR}/lxcfs) != ${published} ]`, { timeoutMs: DEADLINE });
    await container.sh(isLimited);
    supervisor.kill('SIGTERM');
    expect(await supervisor.exited).toEqual({ code: 0, signal: null });
  });
});
