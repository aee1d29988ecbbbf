import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { succeed } from '../execute.ts';

/** What pods of the tests run: BusyBox, static, from Debian. There is no registry to pull anything from. */
export const BUSYBOX = 'localhost/busybox:1';
export const PAUSE = 'localhost/pause:1';

/** Writes an archive, as `docker save` makes them, with the images of pods and of their sandboxes: one layer, two commands. */
export async function writeImages(archive: string): Promise<void> {
  const work = `${archive}.d`;
  await rm(work, { recursive: true, force: true });
  await makeRoot(join(work, 'root'));
  await succeed(['tar', '-C', join(work, 'root'), '--owner=0', '--group=0', '-cf', join(work, 'layer.tar'), '.']);
  const layer = sha256(await readFile(join(work, 'layer.tar')));
  const manifest = [];
  for (const [tag, cmd] of Object.entries({ [BUSYBOX]: ['sh'], [PAUSE]: ['tail', '-f', '/dev/null'] })) {
    const config = JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Cmd: cmd, Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    });
    const name = `${sha256(config)}.json`;
    await writeFile(join(work, name), config);
    manifest.push({ Config: name, RepoTags: [tag], Layers: ['layer.tar'] });
  }
  await writeFile(join(work, 'manifest.json'), JSON.stringify(manifest));
  await succeed(['tar', '-C', work, '--exclude=./root', '-cf', archive, '.']);
  await rm(work, { recursive: true, force: true });
}

async function makeRoot(root: string): Promise<void> {
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'root']) await mkdir(join(root, name), { recursive: true });
  await mkdir(join(root, 'tmp'), { mode: 0o777 });
  await cp('/bin/busybox', join(root, 'bin/busybox'), { dereference: true });
  const applets = (await succeed(['/bin/busybox', '--list'])).trim().split('\n');
  for (const applet of applets) if (applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet));
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nnobody:x:65534:\n');
}

const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
