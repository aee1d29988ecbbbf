import { test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, startGuestNode } from './guest-node.ts';

describeInLab('a stick under device mapper', (lab) => {
  test('goes with what is built on it, and is mounted by itself when nothing is built on it any more', {
    timeout: 6 * DEADLINE,
  }, async () => {
    await lab().sh('modprobe dm-mod');
    const [first, second] = [
      await lab().makeStick({ fs: 'ext4', label: 'MAPPED' }),
      await lab().makeStick({ fs: 'ext4', label: 'MAPPED' }),
    ];
    const create = (disk: string): string =>
      `dmsetup create photos --noudevsync --table "0 $(< /sys/class/block/${disk}/size) linear /dev/${disk} 0"`;
    const eject = (disk: string): Promise<string> => lab().sh(`node src/cli.ts eject ${disk}`, { timeoutMs: DEADLINE });
    const isMounted = (disk: string, times = 1): Promise<unknown> => {
      const line = `"disk":"${disk}"[^\\n]*"directory":"MAPPED"[^\\n]*"msg":"mounted"[\\s\\S]*`;
      return node.process.waitForOutput(new RegExp(`(${line}){${times}}`), DEADLINE);
    };
    const isLeftFor = (disk: string, reason: string): Promise<unknown> =>
      node.process.waitForOutput(new RegExp(`"disk":"${disk}","reason":"${reason}"`), DEADLINE);

    const stick = await lab().plugUsbStick({ image: first });
    const disk = await stick.disk();
    await lab().sh(create(disk));
    const classes = [{ name: 'any', match: [{ bus: ['usb'] }, { bus: ['dm'], removable: false }] }];
    const node = await startGuestNode(lab(), classes);
    await isMounted('dm-0');
    await isLeftFor(disk, 'has_holders');
    await eject('dm-0');
    await lab().sh('dmsetup remove --noudevsync --retry photos');
    await isMounted(disk);

    await eject(disk);
    await lab().sh(create(disk));
    await isMounted('dm-0', 2);
    await stick.pull();
    await isLeftFor('dm-0', 'severed');
    // It can be closed, and its name is free.
    await lab().sh('dmsetup remove --noudevsync --retry photos');
    const other = await lab().plugUsbStick({ image: second });
    await isMounted(await other.disk());
    await eject(await other.disk());
    await other.pull();
  });
});
