import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';

const CLASS = { name: 'serial', match: [{ subsystem: ['tty'], bus: ['usb'], devname: ['ttyUSB*'] }] };
/** By what udevd, which the guest does not run, writes of it. */
const KNOWN = { name: 'known', match: [{ subsystem: ['tty'], properties: { ID_VENDOR_ID: ['0403'] } }] };
const UDEV = '/run/udev/data';
const DIRECTORY = '/dev/hotmount/serial';

describeInLab('a USB serial adapter', (lab) => {
  test('is opened, written to and configured in an unprivileged container that was there before, in any port, and again where it was pulled while open', {
    timeout: 10 * DEADLINE,
  }, async () => {
    await lab().sh(`mkdir -p ${UDEV}`);
    const node = await startGuestNode(lab(), [], [CLASS, KNOWN]);
    const container = await startPodContainer(lab(), `${RUN_DIR}/devices/serial`, DIRECTORY);
    const bystander = await startPodContainer(lab(), `${RUN_DIR}/devices`, '/all');

    const adapter = await lab().plugUsbSerial({ serial: 'ADAPTER-1' });
    const port = `${DIRECTORY}/${await adapter.tty()}`;
    expect(port).toBe(`${DIRECTORY}/ttyUSB0`);
    const received: string[] = [];
    adapter.wire.setEncoding('utf8').on('data', (text: string) => received.push(text));
    await container.sh(`until stty -F ${port} 115200 raw -echo 2> /tmp/error; do sleep 0.1; done`);
    expect(await container.sh(`stty -F ${port}`)).toContain('speed 115200 baud');
    await container.sh(`echo from the container > ${port}`);
    await expect.poll(() => received.join(''), { timeout: DEADLINE }).toContain('from the container');
    // What comes in while nobody has the port open is lost, as on every serial line.
    const speaking = setInterval(() => adapter.wire.write('from the far end\n'), 200);
    try {
      expect(await container.sh(`head -n 1 ${port}`)).toContain('the far end');
    } finally {
      clearInterval(speaking);
    }

    const byId = await container.sh(`ls ${DIRECTORY}/by-id`);
    expect(byId).toContain('ADAPTER-1');
    expect(await container.sh(`readlink ${DIRECTORY}/by-id/${byId}`)).toBe('../ttyUSB0');
    const opened = (who: typeof container, path: string): Promise<string> =>
      who.sh(`( : < ${path} ) 2> /tmp/error && echo yes || sed 's/.*: //' /tmp/error`);
    expect(await opened(bystander, '/all/serial/ttyUSB0'), 'who does not mount the class').toBe(
      'Operation not permitted',
    );
    const { devices } = await node.status();
    expect(devices.filter((device) => device.class === 'serial')).toMatchObject([
      {
        device: 'ttyUSB0',
        class: 'serial',
        bus: 'usb',
        serial: 'ADAPTER-1',
        byId: `${RUN_DIR}/devices/serial/by-id/${byId}`,
        containers: [{ state: 'granted', podUid: container.podUid, containerId: container.id }],
      },
    ]);

    const inKnown = `${RUN_DIR}/devices/known/ttyUSB0`;
    expect(await lab().run(`test -e ${inKnown}`)).toMatchObject({ code: 1 });
    await lab().writeFile(`${UDEV}/.#c188:0`, 'I:1\nE:ID_BUS=usb\nE:ID_VENDOR_ID=0403\n');
    await lab().sh(`mv '${UDEV}/.#c188:0' ${UDEV}/c188:0`);
    await lab().waitUntil(`[ -c ${inKnown} ]`, { timeoutMs: DEADLINE });

    await adapter.pull();
    await lab().waitUntil(`[ ! -e ${inKnown} ]`, { timeoutMs: DEADLINE });
    await container.sh(`until [ -z "$(find ${DIRECTORY} ! -type d)" ]; do sleep 0.1; done`);

    // Another one takes its port, and its number.
    const other = await lab().plugUsbSerial({ serial: 'ADAPTER-2' });
    await other.tty();
    const again = await lab().plugUsbSerial({ serial: 'ADAPTER-1' });
    const tty = await again.tty();
    expect(tty).toBe('ttyUSB1');
    await container.sh(`until ( : < ${DIRECTORY}/by-id/${byId} ) 2> /tmp/error; do sleep 0.1; done`);
    expect(await container.sh(`readlink ${DIRECTORY}/by-id/${byId}`)).toBe(`../${tty}`);
    again.wire.setEncoding('utf8').on('data', (text: string) => received.push(text));
    await container.sh(`echo in another port > ${DIRECTORY}/by-id/${byId}`);
    await expect.poll(() => received.join(''), { timeout: DEADLINE }).toContain('in another port');

    // A program has it open when it is pulled, and keeps its number. It ignores the hang-up, which would end it.
    await container.sh(`trap '' HUP; exec 3<> ${DIRECTORY}/${tty}; sleep 100000 <&3 >&3 2>&3 &`);
    await again.pull();
    await container.sh(`until [ ! -e ${DIRECTORY}/${tty} ]; do sleep 0.1; done`);
    const third = await lab().plugUsbSerial({ serial: 'ADAPTER-1' });
    const next = await third.tty();
    expect(next).toBe('ttyUSB2');
    await container.sh(`until ( : < ${DIRECTORY}/by-id/${byId} ) 2> /tmp/error; do sleep 0.1; done`);
    expect(await container.sh(`readlink ${DIRECTORY}/by-id/${byId}`)).toBe(`../${next}`);
    third.wire.setEncoding('utf8').on('data', (text: string) => received.push(text));
    await container.sh(`echo under another number > ${DIRECTORY}/by-id/${byId}`);
    await expect.poll(() => received.join(''), { timeout: DEADLINE }).toContain('under another number');
  });
});
