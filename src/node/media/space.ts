import { runChild } from '../../linux/child.ts';
import type { Mount } from '../../linux/mountinfo.ts';
import { patient } from '../../linux/slowness.ts';
import { dirtyBytes } from '../../linux/writeback.ts';
import type { Mounted } from './actual.ts';

/** Of a mounted disk, in bytes. */
export interface Space {
  readonly size: number;
  /** For whoever is not root. */
  readonly free: number;
  /** Written by programs and not yet on the disk, its other partitions included; left out where the kernel does not tell. */
  readonly dirty?: number;
}

/** ms. A busy disk may take longer, and is left out until it has answered. */
const DEADLINE = patient(2000);
/** ms for which an answer holds. */
const HOLDS = 5000;

/** Asks file systems how full they are: when somebody wants to know, for it may take long, and in child processes, for a disk may hang. */
export class SpaceReader {
  readonly #known = new Map<string, { readonly id: number; readonly until: number; readonly space: Space }>();
  /** Disks that a child hangs on. */
  readonly #stuck = new Set<string>();
  /** Disks that are being asked: whoever wants to know meanwhile gets the same answer. */
  readonly #asked = new Map<string, Promise<Space | undefined>>();

  /** By disk; without those that do not answer. */
  async read(mounted: readonly Mounted[]): Promise<ReadonlyMap<string, Space>> {
    const names = new Set(mounted.map(({ record }) => record.name));
    for (const disk of this.#known.keys()) if (!names.has(disk)) this.#known.delete(disk);
    const asked = mounted.map(async (each): Promise<[string, Space][]> => {
      const { name, fileSystem } = each.record;
      const space = await this.#spaceOf(each);
      // The figures of a btrfs are not its disks'.
      const dirty = fileSystem.type === 'btrfs' ? undefined : dirtyBytes(name);
      return space ? [[name, { ...space, ...(dirty === undefined ? {} : { dirty }) }]] : [];
    });
    return new Map((await Promise.all(asked)).flat());
  }

  async #spaceOf({ record: { name }, main: [mount] }: Mounted): Promise<Space | undefined> {
    if (!mount || this.#stuck.has(name)) return undefined;
    const known = this.#known.get(name);
    if (known?.id === mount.id && performance.now() < known.until) return known.space;
    const asked = this.#asked.get(name) ?? this.#ask(name, mount).finally(() => this.#asked.delete(name));
    this.#asked.set(name, asked);
    return asked;
  }

  async #ask(name: string, mount: Mount): Promise<Space | undefined> {
    const args = ['-f', '-c', '%S %b %a', '--', mount.mountPoint];
    const { code, stdout, stuck } = await runChild('stat', args, { deadline: DEADLINE });
    if (stuck) {
      this.#stuck.add(name);
      void stuck.then(() => this.#stuck.delete(name));
    }
    const [blockBytes, blocks, free] = stdout.split(' ').map(Number);
    if (code !== 0 || !blockBytes || blocks === undefined || free === undefined) return undefined;
    const space = { size: blocks * blockBytes, free: free * blockBytes };
    this.#known.set(name, { id: mount.id, until: performance.now() + HOLDS, space });
    return space;
  }
}
