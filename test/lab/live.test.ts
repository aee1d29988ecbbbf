import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { GuestLivePod, KUBELET_DIR, liveRule } from './live-pod.ts';

const MEDIA = [{ name: 'usb', match: [{ bus: ['usb'] }] }];
const DEVICES = [{ name: 'serial', match: [{ subsystem: ['tty'], bus: ['usb'] }] }];
const RULES = [liveRule('edge', { media: ['usb'], devices: ['serial'] })];

describeInLab('a live pod on a pure cgroup v2', (lab) => {
  test('has a stick and an adapter from when it is annotated, until it no longer is', {
    timeout: 10 * DEADLINE,
  }, async () => {
    const live = await GuestLivePod.publish(lab());
    const node = await startGuestNode(lab(), MEDIA, DEVICES, ['--kubelet-dir', KUBELET_DIR], RULES);
    const image = await lab().makeStick({ fs: 'vfat', label: 'STICK', files: { 'a.txt': 'of the stick' } });
    await lab().plugUsbStick({ image });
    const adapter = await lab().plugUsbSerial();
    const tty = await adapter.tty();
    const container = await live.start();
    // As root of it can, with the capabilities that runtimes give: only the cgroup keeps it from every device.
    await container.sh(`mknod /dev/own c 188 ${tty.slice('ttyUSB'.length)}`);
    const opens = (path: string) =>
      container.sh(`( : < ${path} ) 2> /tmp/error && echo yes || sed 's/.*: //' /tmp/error`);
    expect(await opens('/dev/own')).toBe('Operation not permitted');

    await live.annotate({ 'hotmount.io/media': 'usb', 'hotmount.io/devices': 'serial' });
    const file = '/hotmount/media/usb/STICK/a.txt';
    expect(await container.sh(`until [ -e ${file} ]; do sleep 0.1; done; cat ${file}`)).toBe('of the stick');
    await container.sh(`until ( : < /hotmount/devices/serial/${tty} ) 2> /tmp/error; do sleep 0.1; done`);
    expect(await opens('/dev/own')).toBe('yes');
    await expect
      .poll(() => node.status(), { timeout: DEADLINE })
      .toMatchObject({
        devices: [{ containers: [{ state: 'granted', podUid: container.podUid }] }],
        live: { pods: [{ pod: 'edge/web', podUid: live.uid, media: ['usb'], devices: ['serial'], notGiven: [] }] },
      });

    await live.annotate({});
    await container.sh('until [ ! -e /hotmount/media/usb ] && [ ! -e /hotmount/devices/serial ]; do sleep 0.1; done');
    await node.process.waitForOutput(/access to a device taken back/, DEADLINE);
    expect(await opens('/dev/own')).toBe('Operation not permitted');
    expect(await lab().sh(`grep -c ${RUN_DIR}/live/ /proc/self/mountinfo || true`)).toBe('0');
  });
});
