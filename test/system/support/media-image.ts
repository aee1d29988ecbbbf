import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LoopDisk } from './disks.ts';
import { type Rig, run } from './rig.ts';

const SCRIPTS = fileURLToPath(new URL('../../media/', import.meta.url));

/** A disk of the corpus, made by `test/media/NAME.sh`. */
export class MediaImage extends LoopDisk {
  constructor(rig: Rig, name: string, { label = name.toUpperCase().slice(0, 11), uuid }: MediaImageOptions = {}) {
    const image = rig.path(`${name}-${randomUUID().slice(0, 8)}.img`);
    run('env', `UUID=${uuid ?? rig.uuid()}`, `LABEL=${label}`, 'sh', '-e', `${SCRIPTS}${name}.sh`, image);
    super(rig, { fsType: 'none', size: statSync(image).size / 2 ** 20 });
    run('cp', '--sparse=always', image, this.image);
  }

  /** Of all its bytes. */
  hash(): string {
    return createHash('sha256').update(readFileSync(this.image)).digest('hex');
  }
}

export interface MediaImageOptions {
  readonly label?: string;
  /** The rig's own, unless it has to be another's. */
  readonly uuid?: string;
}
