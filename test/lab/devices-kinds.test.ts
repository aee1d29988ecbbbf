import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { NodeStatus } from '../../src/node/status.ts';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';
import { SILENCE } from './usb.ts';

const SERIAL = { name: 'serial', match: [{ subsystem: ['tty'], bus: ['usb'], devname: ['ttyUSB*'] }] };
const KEYS = { name: 'keys', match: [{ subsystem: ['input', 'hidraw'], bus: ['usb'] }] };
const SOUND = { name: 'sound', match: [{ subsystem: ['sound'], bus: ['usb'] }] };
/** Smart card readers and cameras, which programs reach through libusb. */
const LIBUSB = { name: 'libusb', match: [{ subsystem: ['usb'], interface: ['0b', '06'] }] };
const READER = '08e6:4433';
const MTP = '46f4:0004';

/** What there is of a class, and since when. */
const givenIn = ({ devices }: NodeStatus, name: string): string =>
  JSON.stringify(devices.filter((device) => device.class === name));

describeInLab('USB devices of many kinds', (lab) => {
  test('are had by containers under names that survive, and none is disturbed by another that comes and goes', {
    timeout: 15 * DEADLINE,
  }, async () => {
    // udevd would load them, by the modalias; the guest runs none.
    await lab().sh('modprobe -a usbhid hid_generic evdev snd_usb_audio');
    const node = await startGuestNode(lab(), [], [SERIAL, KEYS, SOUND, LIBUSB]);
    const directory = (name: string): string => `${RUN_DIR}/devices/${name}`;
    const serial = await startPodContainer(lab(), directory('serial'), '/dev/serial');
    const keys = await startPodContainer(lab(), directory('keys'), '/dev/keys');
    const sound = await startPodContainer(lab(), directory('sound'), '/dev/snd');
    const libusb = await startPodContainer(lab(), directory('libusb'), '/dev/bus/usb', { withPrograms: true });

    // Two adapters that claim the same serial number: each keeps its own name, which has the port in it.
    const adapters = [await lab().plugUsbSerial({ serial: 'SAME' }), await lab().plugUsbSerial({ serial: 'SAME' })];
    for (const adapter of adapters) await adapter.tty();
    await serial.sh('until [ "$(ls /dev/serial/by-id | wc -l)" = 2 ]; do sleep 0.1; done 2>/dev/null');
    const links = (await serial.sh('ls /dev/serial/by-id')).split('\n');
    const [first = '', second = ''] = links;
    expect(first).toMatch(/_SAME-\S+-usb2-1-if00-port0$/);
    expect(second).toBe(first.replace(/-1-if00-port0$/, '-2-if00-port0'));
    for (const [index, { wire }] of adapters.entries()) {
      const received: string[] = [];
      wire.setEncoding('utf8').on('data', (text: string) => received.push(text));
      await serial.sh(`until echo to ${index} > /dev/serial/by-id/${links[index]}; do sleep 0.1; done 2>/dev/null`);
      await expect.poll(() => received.join(''), { timeout: DEADLINE }).toContain(`to ${index}`);
    }

    const keyboard = await lab().plugUsb('usb-kbd');
    const tablet = await lab().plugUsb('usb-tablet');
    await keys.sh('until [ "$(ls /dev/keys/by-id | grep -c hidraw)" = 2 ]; do sleep 0.1; done 2>/dev/null');
    const inputs = await keys.sh('ls /dev/keys/by-id');
    expect(inputs).toMatch(/^usb-QEMU_QEMU_USB_Keyboard_\S+-event-kbd$/m);
    expect(inputs).toMatch(/^usb-QEMU_QEMU_USB_Tablet_\S+-event-mouse$/m);
    const opensAll = 'for link in by-id/*; do ( : < $link ) || echo $link; done';
    expect(await keys.sh(`cd /dev/keys; until [ -z "$(${opensAll} 2>/dev/null)" ]; do sleep 0.1; done; echo all`)).toBe(
      'all',
    );

    const reader = await lab().plugUsb('usb-ccid');
    const rootdir = join(lab().directory, 'photos');
    await mkdir(rootdir);
    const camera = await lab().plugUsb('usb-mtp', { rootdir });
    await libusb.sh('until [ "$(find /dev/bus/usb -path "*/[0-9]*/[0-9]*" -type c | wc -l)" = 2 ]; do sleep 0.1; done');
    for (const id of [READER, MTP]) {
      const told = await libusb.sh(`/usr/bin/lsusb -v -d ${id} 2>&1`);
      expect(told).toContain('bInterfaceClass');
      expect(told).not.toContain("Couldn't open device");
    }

    // A sound card has several nodes, and it comes back again and again, as some hardware does.
    const before = await node.status();
    let names: string | undefined;
    for (let round = 0; round < 3; round++) {
      const card = await lab().plugUsb('usb-audio', { audiodev: SILENCE });
      await sound.sh(
        'until ls /dev/snd/by-id/*control* && ls /dev/snd/by-id/*pcm*; do sleep 0.1; done > /dev/null 2>&1',
      );
      await sound.sh('until ( : < $(echo /dev/snd/by-id/*control*) ); do sleep 0.1; done 2>/dev/null');
      const listed = await sound.sh('ls /dev/snd/by-id');
      names ??= listed;
      expect(listed).toBe(names);
      await card.pull();
      await sound.sh('until [ -z "$(find /dev/snd ! -type d)" ]; do sleep 0.1; done');
    }
    expect(names).toMatch(/-control$/m);
    expect(names).toMatch(/-pcmD0p$/m);
    const after = await node.status();
    for (const name of ['serial', 'keys', 'libusb']) expect(givenIn(after, name)).toBe(givenIn(before, name));

    for (const device of [...adapters, keyboard, tablet, reader, camera]) await device.pull();
  });
});
