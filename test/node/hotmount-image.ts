import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { execute } from '../execute.ts';
import { programCache, type Say } from '../go-programs.ts';

const CHECKOUT = join(import.meta.dirname, '../..');

/** What the chart is told to run. */
export const HOTMOUNT_IMAGE = { repository: 'localhost/hotmount', tag: 'ci' };

/**
 * An archive with hotmount's image, built from the checkout by `.ci/image`. What rarely changes (the base, packages) is kept and
 * takes minutes once. @throws with what the build said
 */
export async function prepareHotmountImage(say: Say): Promise<string> {
  const images = join(programCache(), 'image');
  const key = createHash('sha256');
  for (const file of ['.ci/image', 'Dockerfile']) key.update(await readFile(join(CHECKOUT, file)));
  const name = key.digest('hex').slice(0, 12);
  await mkdir(join(images, name), { recursive: true });
  await forgetOld(images, name);
  const archive = join(images, name, 'hotmount.tar');
  say('building the image');
  const started = Date.now();
  const { code, stdout, stderr } = await execute([
    'flock',
    join(images, name),
    join(CHECKOUT, '.ci/image'),
    join(images, name),
    archive,
  ]);
  if (code !== 0) throw new Error(`the image cannot be built:\n${(stdout + stderr).slice(-4_000)}`);
  say(`built the image in ${Math.round((Date.now() - started) / 1000)} s`);
  return archive;
}

/** ms. Another checkout, or branch, may be at work with its own. */
const KEPT = 7 * 24 * 3_600_000;

/** Removes what no test has used for a week. @param used what is used now */
async function forgetOld(images: string, used: string): Promise<void> {
  const now = new Date();
  await utimes(join(images, used), now, now);
  for (const name of await readdir(images)) {
    const { mtimeMs } = await stat(join(images, name));
    if (now.getTime() - mtimeMs > KEPT) await rm(join(images, name), { recursive: true });
  }
}
