import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { hostCommand } from './host-command.ts';

/** A kernel ready to boot: Debian's own build, unpacked and not installed. */
export interface Kernel {
  /** As `uname -r` says it, e.g. `6.1.0-56-amd64`. */
  version: string;
  /** The uncompressed kernel, which qemu starts directly. */
  image: string;
  /** What holds `<version>/`: the guest's `/lib/modules`. */
  modules: string;
}

/** Where the kernel is kept between runs: `HOTMOUNT_LAB_CACHE`, or `hotmount-lab` in the user's cache directory. */
export function cacheDirectory(): string {
  const { HOTMOUNT_LAB_CACHE, XDG_CACHE_HOME } = process.env;
  return HOTMOUNT_LAB_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'hotmount-lab');
}

/**
 * Debian's current kernel, from the cache or (70 MB, once) from the machine's apt sources. A directory appears in the cache
 * under its final name only when it is complete, so an interrupted run leaves nothing that a later one would trust.
 *
 * @param progress is told each step that takes longer than a moment
 * @throws Error when apt knows no `linux-image-amd64`, or cannot fetch it, with the remedy
 */
export async function prepareKernel(progress: (line: string) => void): Promise<Kernel> {
  const cache = cacheDirectory();
  await mkdir(cache, { recursive: true });
  const cached = await newestCached(cache);
  let name = (await currentPackage()) ?? cached;
  if (!name) throw new Error("apt knows no linux-image-amd64: run apt-get update (the lab boots Debian's kernel)");
  if (!existsSync(join(cache, name))) {
    try {
      await fetchKernel(name, cache, join(cache, name), progress);
    } catch (error) {
      if (!cached) throw error;
      progress(`${(error as Error).message}: going on with ${cached}, which is in the cache`);
      name = cached;
    }
  }
  const directory = join(cache, name);
  const version = name.slice('linux-image-'.length);
  return { version, image: join(directory, 'vmlinux'), modules: join(directory, 'lib/modules') };
}

/** The package that `linux-image-amd64` stands for at present; undefined without package lists. */
async function currentPackage(): Promise<string | undefined> {
  const depends = await hostCommand('apt-cache', ['depends', '--important', 'linux-image-amd64']).catch(() => '');
  return /Depends: (linux-image-\S+-amd64)/.exec(depends.toString())?.[1];
}

async function newestCached(cache: string): Promise<string | undefined> {
  const names = (await readdir(cache)).filter((name) => /^linux-image-.*-amd64$/.test(name));
  return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

async function fetchKernel(name: string, cache: string, directory: string, progress: (line: string) => void) {
  const building = await mkdtemp(join(cache, '.building-'));
  try {
    progress(`fetching ${name} (70 MB) with apt-get download`);
    await hostCommand('apt-get', ['download', '-o', 'APT::Sandbox::User=root', name], { cwd: building }).catch(
      (error) => {
        throw new Error(
          `cannot fetch ${name}: run apt-get update, and see that apt can reach its sources (${error.message})`,
        );
      },
    );
    const archive = (await readdir(building)).find((file) => file.endsWith('.deb'));
    if (!archive) throw new Error(`apt-get download ${name} succeeded and left no .deb in ${building}`);
    progress(`unpacking ${archive}`);
    await hostCommand('dpkg-deb', ['-x', archive, 'tree'], { cwd: building });
    const tree = join(building, 'tree');
    const version = name.slice('linux-image-'.length);
    await hostCommand('depmod', ['-b', tree, version]);
    await writeFile(join(tree, 'vmlinux'), await uncompressed(join(tree, 'boot', `vmlinuz-${version}`)));
    await rename(tree, directory).catch((error) => {
      if (!existsSync(directory)) throw error; // another run was faster: its tree is as good
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

/**
 * The kernel proper out of a bzImage. Under emulation decompressing takes the guest seconds, and xz here a moment.
 * Offsets: the setup header in the kernel's Documentation/arch/x86/boot.rst.
 */
async function uncompressed(bzImage: string): Promise<Buffer> {
  const file = await readFile(bzImage);
  const protectedMode = ((file[0x1f1] || 4) + 1) * 512;
  const start = protectedMode + file.readUInt32LE(0x248); // payload_offset
  const end = start + file.readUInt32LE(0x24c) - 4; // payload_length; the last four bytes are the size uncompressed
  if (file.subarray(start + 1, start + 5).toString('latin1') !== '7zXZ') {
    throw new Error(
      `${bzImage} is not compressed with xz, as Debian's kernels are: teach test/lab/kernel.ts the new format`,
    );
  }
  return hostCommand('xz', ['-dc', '--single-stream'], { input: file.subarray(start, end) });
}
