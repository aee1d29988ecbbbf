import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { describeInLab } from './describe-in-lab.ts';
import { DEADLINE, RUN_DIR, startGuestNode } from './guest-node.ts';
import { hostCommand } from './host-command.ts';
import { startPodContainer } from './pod-container.ts';

const SCRIPTS = fileURLToPath(new URL('../media/', import.meta.url));

/** By the name of the script in test/media: what the status says of it, and how it is checked when it has been ejected. */
const WRITABLE: Readonly<Record<string, { notes?: string[]; check?: readonly string[] }>> = {
  fat32: {},
  'fat16-whole': { check: ['fsck.fat', '-n'] },
  'fat32-dirty': { notes: ['dirty'] },
  exfat: { check: ['fsck.exfat', '-n'] },
  udf: {},
  f2fs: { check: ['fsck.f2fs', '--dry-run'] },
  'gpt-windows': {},
  'mbr-15': {},
  // The kernel of the lab has no ntfs3, and ntfs-3g takes such a mark away.
  'ntfs-dirty': {},
};
const READ_ONLY: typeof WRITABLE = {
  iso9660: {},
  'ext4-newer': { notes: ['too_new', 'journal_not_replayed'] },
  'iso9660-hybrid': {},
};
const LEFT_ALONE: Readonly<Record<string, string>> = {
  luks: 'encrypted',
  ambiguous: 'ambiguous',
  'gpt-empty': 'no_partitions',
};

const labelOf = (name: string): string =>
  name
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '')
    .slice(0, 11);

describeInLab('disks as people have them', (lab) => {
  test('are mounted and written by user 1000, or left alone for the reason', { timeout: 8 * DEADLINE }, async () => {
    const node = await startGuestNode(lab(), [{ name: 'usb', match: [{ bus: ['usb'] }] }]);
    const container = await startPodContainer(lab(), `${RUN_DIR}/media/usb`);
    const plug = async (name: string) => {
      const image = `${lab().directory}/${name}.img`;
      await hostCommand('env', [`LABEL=${labelOf(name)}`, 'sh', '-e', `${SCRIPTS}${name}.sh`, image]);
      return { image, stick: await lab().plugUsbStick({ image }) };
    };
    const plugged = new Map<string, Awaited<ReturnType<typeof plug>>>();
    for (const name of [WRITABLE, READ_ONLY, LEFT_ALONE].flatMap(Object.keys)) plugged.set(name, await plug(name));

    const mounted = { ...READ_ONLY, ...WRITABLE };
    for (const name of Object.keys(mounted)) await node.mounted(labelOf(name));
    const status = await node.status();
    for (const [name, { notes = [] }] of Object.entries(mounted)) {
      const found = status.mounted.find(({ label }) => label === labelOf(name));
      expect.soft([name, (found?.notes ?? []).map(({ reason }) => reason)]).toEqual([name, notes]);
    }
    for (const [name, reason] of Object.entries(LEFT_ALONE)) {
      const disk = await plugged.get(name)?.stick.disk();
      expect.soft(status.notMounted.find((entry) => entry.disk === disk)?.reason).toBe(reason);
    }
    expect.soft(status.notMounted.map(({ reason }) => reason)).toContain('system_partition');

    for (const name of Object.keys(WRITABLE)) {
      const file = `/media/${labelOf(name)}/mine`;
      expect.soft(await container.shAs(1000, `echo ${name} > ${file} && cat ${file}`)).toBe(name);
    }
    for (const [name, { stick }] of plugged) {
      if (name in mounted) await lab().sh(`node src/cli.ts eject ${await stick.disk()}`, { timeoutMs: DEADLINE });
      await stick.pull();
    }
    for (const [name, { check }] of Object.entries(WRITABLE)) {
      const [program, ...args] = check ?? [];
      const image = plugged.get(name)?.image as string;
      if (program) expect.soft([name, spawnSync(program, [...args, image]).status]).toEqual([name, 0]);
    }
  });
});
