import { expect, onTestFinished, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';

describeInLab('a runc container in the guest', (lab) => {
  test('runs on cgroup v2 with a memory limit, and sees a stick plugged in after its start', async () => {
    await lab().sh(
      `mkdir -p /tmp/box/rootfs/{bin,media} /run/media && cp /bin/busybox /tmp/box/rootfs/bin/ && ln -s busybox /tmp/box/rootfs/bin/sh &&
       mount --bind /run/media /run/media && mount --make-shared /run/media && cd /tmp/box && runc spec`,
    );
    onTestFinished(async () => {
      await lab().run('runc delete -f box; umount -l /run/media/stick; umount /run/media; rm -r /tmp/box');
    });
    await lab().writeFile(
      '/tmp/box/edit.mjs',
      `import { readFileSync, writeFileSync } from 'node:fs';
       const spec = JSON.parse(readFileSync('/tmp/box/config.json'));
       spec.process = { ...spec.process, terminal: false, args: ['/bin/busybox', 'sleep', '1000'] };
       spec.linux.cgroupsPath = '/box';
       spec.linux.resources.memory = { limit: 64 * 1024 * 1024 };
       spec.mounts.push({ destination: '/media', source: '/run/media', options: ['rbind', 'rslave', 'ro'] });
       writeFileSync('/tmp/box/config.json', JSON.stringify(spec));`,
    );
    await lab().sh('node edit.mjs && runc run -d box > /tmp/box/log 2>&1 || { cat /tmp/box/log; false; }', {
      cwd: '/tmp/box',
    });
    expect(await lab().sh('cat /sys/fs/cgroup/box/memory.max')).toBe(`${64 * 1024 * 1024}`);

    const image = await lab().makeStick({ fs: 'vfat', files: { 'hello.txt': 'into the container' } });
    const stick = await lab().plugUsbStick({ image });
    await lab().sh(`mkdir /run/media/stick && mount /dev/${await stick.disk()} /run/media/stick`);
    expect(await lab().sh('runc exec box /bin/busybox cat /media/stick/hello.txt')).toBe('into the container');
    await stick.pull();
    await lab().sh('umount -l /run/media/stick');
    expect(await lab().sh('runc exec box /bin/busybox ls -a /media/stick')).toBe('.\n..');
  });
});
