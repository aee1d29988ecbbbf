import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { hostCommand } from './host-command.ts';
import type { Kernel } from './kernel.ts';

/** Without it, usb_storage lets each disk settle for a second before it looks at it. */
const MODULE_PARAMETERS: Record<string, string> = { 'usb-storage.ko': 'delay_use=0' };

/** What the guest needs before it can read the modules from the host, and the USB drivers, which have no udev to load them. */
const MODULES = [
  'virtio_pci',
  '9pnet_virtio',
  '9p',
  'overlay',
  'virtio_console',
  'crc32c_generic',
  'xhci_pci',
  'usb_storage',
  'uas',
  'sd_mod',
  'ftdi_sio',
];

/** All else (ext4, vfat, exfat, xfs, zram, …) the guest's kernel asks modprobe for, as on any machine. */
export interface InitrdSettings {
  kernel: Kernel;
  /** A static busybox of the guest's architecture. */
  busybox: string;
  /** Directory for the finished file and for scratch space. */
  directory: string;
  /** Shell variables for the guest's init. */
  variables: Record<string, string>;
}

/** Builds the initrd for one boot (some 3 MB, in a fraction of a second) and gives its path. */
export async function buildInitrd({ kernel, busybox, directory, variables }: InitrdSettings): Promise<string> {
  const root = await mkdtemp(join(directory, 'initrd-'));
  try {
    for (const name of ['bin', 'proc', 'sys', 'dev', 'host', 'overlay', 'new', 'lib']) await mkdir(join(root, name));
    await copyFile(new URL('guest/initrd-init.sh', import.meta.url), join(root, 'init'));
    await copyFile(busybox, join(root, 'bin/busybox'));
    await chmod(join(root, 'init'), 0o755);
    await chmod(join(root, 'bin/busybox'), 0o755);
    const modules = await modulesInOrder(kernel);
    for (const module of modules) await copyFile(module, join(root, 'lib', basename(module)));
    const lines = modules.map((file) => `/lib/${basename(file)} ${MODULE_PARAMETERS[basename(file)] ?? ''}\n`);
    await writeFile(join(root, 'modules.list'), lines.join(''));
    await writeFile(join(root, 'lab-settings'), shellAssignments(variables));
    const initrd = join(directory, 'initrd.gz');
    const archive = await hostCommand('sh', ['-c', 'find . | cpio --quiet -o -H newc'], { cwd: root });
    await writeFile(initrd, gzipSync(archive, { level: 1 }));
    return initrd;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** The files of {@link MODULES} and of all they need, each after what it depends on. */
async function modulesInOrder(kernel: Kernel): Promise<string[]> {
  const tree = join(kernel.modules, '../..');
  const shown = await hostCommand('modprobe', [
    '-d',
    tree,
    '-S',
    kernel.version,
    '--show-depends',
    '--all',
    ...MODULES,
  ]);
  const files = shown
    .toString()
    .split('\n')
    .flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
  return [...new Set(files)];
}

function shellAssignments(variables: Record<string, string>): string {
  const quoted = (value: string) => `'${value.replaceAll("'", "'\\''")}'`;
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('');
}
