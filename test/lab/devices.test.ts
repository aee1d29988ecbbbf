import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';

const CLASS = { name: 'serial', match: [{ subsystem: ['tty'], bus: ['usb'], devname: ['ttyUSB*'] }] };
const DIRECTORY = '/dev/hotmount/serial';

describeInLab('a USB serial adapter', (lab) => {
  test('is opened, written to and configured in an unprivileged container that was there before, in any port', {
    timeout: 10 * DEADLINE,
  }, async () => {
    const node = await startGuestNode(lab(), [], [CLASS]);
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
    const line = container.sh(`head -n 1 ${port}`);
    adapter.wire.write('from the far end\n');
    expect((await line).trim()).toBe('from the far end');

    const byId = await container.sh(`ls ${DIRECTORY}/by-id`);
    expect(byId).toContain('ADAPTER-1');
    expect(await container.sh(`readlink ${DIRECTORY}/by-id/${byId}`)).toBe('../ttyUSB0');
    const opened = (who: typeof container, path: string): Promise<string> =>
      who.sh(`( : < ${path} ) 2> /tmp/error && echo yes || sed 's/.*: //' /tmp/error`);
    expect(await opened(bystander, '/all/serial/ttyUSB0'), 'who does not mount the class').toBe(
      'Operation not permitted',
    );
    const { devices } = await node.status();
    expect(devices).toMatchObject([
      {
        device: 'ttyUSB0',
        class: 'serial',
        bus: 'usb',
        serial: 'ADAPTER-1',
        byId: `${RUN_DIR}/devices/serial/by-id/${byId}`,
        containers: [{ state: 'granted', podUid: container.podUid, containerId: container.id }],
      },
    ]);

    await adapter.pull();
    await container.sh(`until [ ! -e ${port} ]; do sleep 0.1; done`);
    expect(await container.sh(`find ${DIRECTORY} ! -type d`)).toBe('');

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
  });
});
