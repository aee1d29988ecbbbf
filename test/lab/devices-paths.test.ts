import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';

/** What qemu's stick and keyboard say. */
const STICK_ID = '46f4:0001';
const KEYBOARD = '03/01/01';

const STICKS = { name: 'sticks', match: [{ subsystem: ['usb'], usb: [STICK_ID] }] };
const KEYS = { name: 'keys', match: [{ subsystem: ['input'], interface: [KEYBOARD] }] };

describeInLab('devices where programs look for them', (lab) => {
  test('lsusb, as Debian ships it, opens a stick that was plugged in while its unprivileged container ran', {
    timeout: 10 * DEADLINE,
  }, async () => {
    await startGuestNode(lab(), [], [STICKS]);
    const withPrograms = { withPrograms: true };
    const container = await startPodContainer(lab(), `${RUN_DIR}/devices/sticks`, '/dev/bus/usb', withPrograms);
    const bystander = await startPodContainer(lab(), `${RUN_DIR}/devices`, '/all', withPrograms);
    const verbose = `/usr/bin/lsusb -v -d ${STICK_ID} 2>&1`;

    const stick = await lab().plugUsbStick({ image: await lab().makeStick({ fs: 'vfat', label: 'X' }) });
    await container.sh(
      "until find /dev/bus/usb -type c | grep -q '/[0-9][0-9][0-9]/[0-9][0-9][0-9]$'; do sleep 0.1; done",
    );
    // It is let at the device a moment after it sees it.
    const told = await container.sh(
      `while told=$(${verbose}); [ "$told" != "\${told#*"Couldn't open device"}" ]; do sleep 0.1; done; echo "$told"`,
    );
    expect(told).toContain(`iSerial                 3 ${stick.serial}`);
    expect(told).not.toContain("Couldn't open device");
    expect(await bystander.sh(verbose), 'who does not mount the class').toContain("Couldn't open device");

    await stick.pull();
    await container.sh('until [ -z "$(find /dev/bus/usb -type c)" ]; do sleep 0.1; done');
  });

  test('a keyboard is in /dev/input, under the name that udev gives it, without udevd', {
    timeout: 10 * DEADLINE,
  }, async () => {
    // udevd would load them, by the modalias; the guest runs none.
    await lab().sh('modprobe -a usbhid hid_generic evdev');
    const node = await startGuestNode(lab(), [], [KEYS]);
    const container = await startPodContainer(lab(), `${RUN_DIR}/devices/keys`, '/dev/input');
    const keyboard = await lab().plugUsb('usb-kbd');
    await container.sh('until ls /dev/input/by-id/*-event-kbd; do sleep 0.1; done 2>/dev/null');
    expect(await container.sh('ls /dev/input/by-id')).toMatch(/^usb-QEMU_QEMU_USB_Keyboard_\S+-event-kbd$/);
    await container.sh('until ( : < $(echo /dev/input/by-id/*-event-kbd) ); do sleep 0.1; done 2>/dev/null');

    const { devices, unclaimed } = await node.status();
    expect(devices).toMatchObject([
      { class: 'keys', usb: '0627:0001', port: expect.stringMatching(/^pci-\S+-usb-0:\d+:1\.0$/) },
    ]);
    expect(unclaimed.find(({ subsystem }) => subsystem === 'hidraw')?.match).toMatch(
      /^\{ subsystem: \["hidraw"\], usb: \["0627:0001"\], serial: \["\S+"\] \}$/,
    );
    // What has no driver, and so no node but the one below bus/usb, is somebody's all the same.
    const reader = await lab().plugUsb('usb-ccid');
    await expect
      .poll(async () => (await node.status()).unclaimed, { timeout: DEADLINE })
      .toContainEqual(
        expect.objectContaining({
          device: expect.stringMatching(/^bus\/usb\//),
          match: expect.stringMatching(/^\{ subsystem: \["usb"\], usb: \["08e6:4433"\], /),
        }),
      );
    await reader.pull();
    await keyboard.pull();
    await container.sh('until [ -z "$(find /dev/input ! -type d)" ]; do sleep 0.1; done');
  });
});
