import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithQemu } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { type Lab, startLab } from './lab.ts';
import { startPodContainer } from './pod-container.ts';

const LABELS = {
  process: 'system_u:system_r:container_t:s0',
  files: 'system_u:object_r:container_file_t:s0',
};
const MEDIA = { name: 'usb', match: [{ bus: ['usb'] }] };
const SERIAL = { name: 'serial', match: [{ subsystem: ['tty'], bus: ['usb'] }] };
/** That mount(8) finds the file is the image's matter: Dockerfile. */
const LOAD = `
  mount -t selinuxfs selinuxfs /sys/fs/selinux
  secilc -o /tmp/policy -f /tmp/contexts /tmp/policy.cil
  cat /tmp/policy > /sys/fs/selinux/load
  echo 1 > /sys/fs/selinux/enforce
  mkdir -p /etc/selinux && touch /etc/selinux/config`;

describeWithQemu('on a node where SELinux is enforced', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await startLab({ kernelOptions: 'security=selinux' });
    await lab.writeFile('/tmp/policy.cil', await readFile(join(import.meta.dirname, 'selinux-policy.cil')));
    await lab.sh(LOAD);
    expect(await lab.sh('cat /sys/fs/selinux/enforce /proc/self/attr/current')).toMatch(
      /^1system_u:system_r:node_t:s0/,
    );
  }, 3 * DEADLINE);
  afterAll(() => lab.stop());

  /** What a container gets when it opens a file of a stick and a serial port that were plugged in while it ran. */
  const outcome = async (...flags: string[]): Promise<string[]> => {
    await startGuestNode(lab, [MEDIA], [SERIAL], flags);
    const stick = await lab.plugUsbStick({
      image: await lab.makeStick({ fs: 'vfat', label: 'LABEL', files: { a: 'A' } }),
    });
    const adapter = await lab.plugUsbSerial();
    const port = await adapter.tty();
    const media = await startPodContainer(lab, `${RUN_DIR}/media/usb`, '/media', { labels: LABELS });
    const devices = await startPodContainer(lab, `${RUN_DIR}/devices/serial`, '/devices', { labels: LABELS });
    // As long as its cgroup does not allow it, a device gives "Operation not permitted", whatever its label is.
    const opens = (container: typeof media, path: string): Promise<string> =>
      container.sh(`until [ -e ${path} ]; do sleep 0.1; done
        while said=$( (: < ${path}) 2>&1 && echo ': yes' ); [ "$said" != "\${said%Operation not permitted}" ]; do sleep 0.1; done; echo "\${said##*: }"`);
    const found = [await opens(media, '/media/LABEL/a'), await opens(devices, `/devices/${port}`)];
    await stick.pull();
    await adapter.pull();
    return found;
  };

  test('containers may open neither a file of a stick nor a device that is not labelled', {
    timeout: 6 * DEADLINE,
  }, async () => {
    expect(await outcome('--selinux-context', 'off')).toEqual(['Permission denied', 'Permission denied']);
  });

  test('containers open both, as the label is that of container-selinux', { timeout: 6 * DEADLINE }, async () => {
    expect(await outcome()).toEqual(['yes', 'yes']);
  });

  test('a context that the policy does not have is refused', { timeout: 2 * DEADLINE }, async () => {
    const { code, stderr } = await lab.run(
      'node src/cli.ts node --no-csi --selinux-context system_u:object_r:nosuch_t:s0',
      {
        timeoutMs: DEADLINE,
      },
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining("the node's SELinux policy has no such context")]);
  });
});
