import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SOAK } from '../settings.ts';
import { describeWithQemu } from './describe-in-lab.ts';
import { DEADLINE } from './guest-node.ts';
import { hostCommand } from './host-command.ts';
import { type Lab, startLab } from './lab.ts';

const BUILD_MS = 1_800_000;
const IMAGES = ['node', 'webhook'] as const;

// Building takes minutes, since Debian's packages are installed by emulated programs.
if (SOAK) describeWithQemu('the image for arm64', tests);
else describe.skip('the image for arm64 (skipped, because building it takes minutes: npm run test:soak)', tests);

/** Built on this machine by `.ci/image`, and run by a kernel for arm64, from a disk that holds both. */
function tests(): void {
  let directory: string;
  let lab: Lab;
  const rootfs = (image: string): string => join(directory, 'files', image);
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hotmount-arm64-image-'));
    execFileSync('.ci/image', ['--platform', 'linux/arm64', directory], { stdio: ['ignore', 'inherit', 'inherit'] });
    mkdirSync(join(directory, 'files'));
    await hostCommand('mv', [join(directory, 'rootfs'), rootfs('node')]);
    await hostCommand('mv', [join(directory, 'webhook-rootfs'), rootfs('webhook')]);
    const disk = join(directory, 'disk');
    await hostCommand('truncate', ['-s', '600M', disk]);
    await hostCommand('mkfs.ext4', ['-q', '-d', join(directory, 'files'), disk]);
    lab = await startLab({ architecture: 'arm64', memoryMiB: 1024, disk });
    await lab.sh(`modprobe virtio_blk && mkdir -p /tmp/images && mount /dev/vda /tmp/images && cd /tmp/images &&
      for image in *; do
        for directory in proc sys dev; do mkdir -p $image/$directory && mount --rbind /$directory $image/$directory || exit 1; done
      done`);
  }, BUILD_MS);
  beforeEach(({ onTestFailed }) => onTestFailed(() => void process.stderr.write(lab.console())));
  afterAll(async () => {
    await lab?.stop();
    if (directory) rmSync(directory, { recursive: true, force: true });
  });

  /** Runs a program of the node's image, in a chroot. */
  const inNode = (command: string): Promise<string> =>
    lab.sh(`chroot /tmp/images/node ${command}`, { timeoutMs: 3 * DEADLINE });

  test('says that it is for arm64', () => {
    for (const name of ['image.json', 'webhook-image.json'])
      expect(JSON.parse(readFileSync(join(directory, name), 'utf8')).OCIv1).toMatchObject({
        architecture: 'arm64',
        os: 'linux',
      });
  });

  test.each(IMAGES)('has programs and libraries for arm64 alone, with every library that they need: %s', (image) => {
    const binaries = elfFiles(rootfs(image));
    expect(binaries.length).toBeGreaterThan(3);
    const present = new Set(binaries.map((file) => basename(file)));
    const said = execFileSync('readelf', ['-hdW', ...binaries], { encoding: 'utf8', maxBuffer: 64 << 20 });
    const files = said.split(/^File: /m).slice(1);
    expect(files).toHaveLength(binaries.length);
    for (const file of files) {
      expect(file).toMatch(/Machine: *AArch64/);
      for (const [, library = ''] of file.matchAll(/\(NEEDED\).*\[(.*)\]/g))
        expect(present, `${library} of ${file}`).toContain(library);
    }
  });

  test.each(IMAGES)('is as small as that for amd64: %s', async (image) => {
    const [size] = (await hostCommand('du', ['-sb', rootfs(image)])).toString().split('\t');
    expect(Number(size)).toBeLessThan(image === 'node' ? 230e6 : 150e6);
  });

  test('runs hotmount, every lxcfs, and what the daemon calls', async () => {
    expect(await inNode('hotmount --version')).toMatch(/, commit .*, Node /);
    expect(
      await lab.sh('chroot /tmp/images/webhook /usr/local/bin/node /hotmount/dist/cli.js --version', {
        timeoutMs: DEADLINE,
      }),
    ).toMatch(/, commit .*, Node /);
    expect(await inNode('/usr/bin/lxcfs --version 2>&1')).toMatch(/^"?5\.0/);
    for (const [suite, version] of [
      ['sid', '7.0'],
      ['trixie', '6.0'],
    ] as const)
      expect(await inNode(`chroot /opt/lxcfs/${suite} /usr/bin/lxcfs --version 2>&1`)).toContain(version);
    await inNode(
      `sh -ec 'for name in blkid mount umount setpriv unshare ntfs-3g mount.exfat-fuse; do command -v $name; done'`,
    );
  });
}

/** Every ELF file below `root`, with the links that lead to one: libraries are named by those. */
function elfFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() && !/\.so(\.|$)/.test(entry.name)) return [];
    try {
      const file = realpathSync(path);
      if (!file.startsWith(root)) return [];
      return readFileSync(file).subarray(0, 4).toString('latin1') === '\x7fELF' ? [path] : [];
    } catch {
      return []; // a link that leads outside of the root, or nowhere
    }
  });
}
