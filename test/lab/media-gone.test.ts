import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { startPodContainer } from './pod-container.ts';

describeInLab('a USB stick pulled while containers use it', (lab) => {
  test('is in no mount table any more, the status names who read it and who holds a file open, and the next one comes', {
    timeout: 5 * DEADLINE,
  }, async () => {
    const node = await startGuestNode(lab(), [{ name: 'usb', match: [{ bus: ['usb'] }] }]);
    const source = `${RUN_DIR}/media/usb`;
    const reader = await startPodContainer(lab(), source);
    const holder = await startPodContainer(lab(), source);
    const idler = await startPodContainer(lab(), source);

    const image = await lab().makeStick({ fs: 'ext4', label: 'PULLED', files: { big: Buffer.alloc(4 << 20, 'x') } });
    const stick = await lab().plugUsbStick({ image });
    const disk = await stick.disk();
    await node.mounted('PULLED');
    const number = await lab().sh(`cat /sys/block/${disk}/dev`);
    expect(await lab().sh(`grep -l ' ${number} ' /proc/[0-9]*/mountinfo | wc -l`)).not.toBe('0');

    // By one descriptor, past the cache: each read is one of the stick.
    const reading = reader.spawn(
      `exec 4< /media/PULLED/big; echo reading
       while dd if=/proc/self/fd/4 of=/dev/null bs=1M iflag=direct 2> /tmp/error; do :; done; cat /tmp/error; echo ended; sleep 100000`,
    );
    const holding = holder.spawn('exec 5> /media/PULLED/open; echo open; sleep 100000');
    await reading.waitForOutput(/reading/, DEADLINE);
    await holding.waitForOutput(/open/, DEADLINE);

    await stick.pull();
    await node.unmounted('PULLED');
    // By itself, grep would fail for a process that ends meanwhile.
    const tables = 'cat /proc/[0-9]*/mountinfo 2> /dev/null';
    expect(await lab().run(`${tables} | grep ' ${number} '`)).toMatchObject({ code: 1, stdout: '' });
    await reading.waitForOutput(/ended/, DEADLINE);
    for (const container of [reader, holder, idler]) {
      await container.sh('until [ -z "$(ls /media)" ]; do sleep 0.1; done');
    }

    const { daemon, mounted, departed } = await node.status();
    expect(daemon.ready).toBe(true);
    expect(mounted).toEqual([]);
    expect(departed[0]).toMatchObject({ name: disk, className: 'usb', directory: 'PULLED' });
    const found = departed[0]?.holders.map(({ podUid, containerId, path }) => ({ podUid, containerId, path }));
    expect(found).toContainEqual({ podUid: reader.podUid, containerId: reader.id, path: '/big' });
    expect(found).toContainEqual({ podUid: holder.podUid, containerId: holder.id, path: '/open' });
    expect(found?.map(({ containerId }) => containerId)).not.toContain(idler.id);
    const table = await lab().sh(`node src/cli.ts status --run-dir ${RUN_DIR}`, { timeoutMs: DEADLINE });
    expect(table).toMatch(new RegExp(`GONE, STILL HELD OPEN[\\s\\S]*${disk} .*pod ${holder.podUid} `));

    // The old one's file is still held open: the next has its own place all the same.
    const next = await lab().makeStick({ fs: 'exfat', label: 'NEXT', files: { 'hello.txt': 'again' } });
    const second = await lab().plugUsbStick({ image: next });
    await node.mounted('NEXT');
    for (const container of [reader, holder, idler]) {
      expect(await container.sh('cat /media/NEXT/hello.txt')).toBe('again');
    }
    await second.pull();
    await node.unmounted('NEXT');
  });

  test('and plugged in again at once has its old name back, however often', { timeout: 5 * DEADLINE }, async () => {
    const node = await startGuestNode(lab(), [{ name: 'usb', match: [{ bus: ['usb'] }] }]);
    const container = await startPodContainer(lab(), `${RUN_DIR}/media/usb`);
    const image = await lab().makeStick({ fs: 'vfat', label: 'SAME', files: { 'hello.txt': 'still there' } });
    for (let round = 0; round < 3; round++) {
      const stick = await lab().plugUsbStick({ image });
      await lab().waitUntil(`grep -q ' ${RUN_DIR}/media/usb/SAME ' /proc/self/mountinfo`, { timeoutMs: DEADLINE });
      const holding = container.spawn('exec 5< /media/SAME/hello.txt; cat <&5; echo; sleep 100000');
      await holding.waitForOutput(/still there/, DEADLINE);
      await stick.pull();
    }
    await lab().waitUntil(`! grep -q ' ${RUN_DIR}/media/usb/' /proc/self/mountinfo`, { timeoutMs: DEADLINE });
    expect((await node.status()).daemon.ready).toBe(true);
  });
});
