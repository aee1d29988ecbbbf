import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { LXCFS_VIEW_NAMES, LXCFS_VIEWS, type LxcfsView } from '../../contract/wants.ts';
import { SystemCallError } from '../../linux/errors.ts';
import { type MountReplacer, NamespaceHangs } from '../../linux/mount-replacer.ts';
import type { Ailment } from './ailment.ts';
import { FILES, type Sources } from './attach-plan.ts';
import type { Cgroups } from './cgroups.ts';
import type { InstanceRecord } from './layout.ts';
import type { InstanceState } from './plan.ts';
import { type ProbeResult, probeInstance } from './probe.ts';
import type { LxcfsProcess } from './process.ts';
import type { Untrue } from './truth.ts';

const UNTESTED: ProbeResult = {
  outcome: 'failed',
  detail: 'it cannot be tested where the node’s cgroups are not seen',
};

/** How often its files are tried to be opened, ms apart. */
const OPEN_TRIES = 5;
const OPEN_PAUSE = 200;

/** One lxcfs: its process, and what the supervisor knows of it. */
export class Instance {
  readonly process: LxcfsProcess;
  phase: InstanceState['phase'] = 'unproven';
  /** It answers, but not well: another is to take its place. */
  ailment: Ailment | undefined;
  /** A reader was told what it should not be. */
  isUnfit = false;
  /** What it serves, open: a mount of a file is made from a descriptor, and nothing has to be looked up when it counts. */
  files: Sources = new Map();
  /** Views that tell the node's values. */
  untrue: readonly Untrue[] = [];
  /** A reader has compared: it was not only adopted. */
  isProven = false;
  /** When it was replaced as the published one, in ms of `performance.now()`. */
  leftAt?: number;

  constructor(process: LxcfsProcess) {
    this.process = process;
  }

  get id(): string {
    return this.process.id;
  }

  get record(): InstanceRecord {
    return this.process.record;
  }

  get mountPoint(): string {
    return this.process.mountPoint;
  }

  get device(): string {
    return this.process.device;
  }

  /** Of the views that pods may ask for. */
  get views(): LxcfsView[] {
    return LXCFS_VIEW_NAMES.filter((view) => this.files.has(LXCFS_VIEWS[view]));
  }

  get missingViews(): LxcfsView[] {
    return LXCFS_VIEW_NAMES.filter((view) => !this.files.has(LXCFS_VIEWS[view]));
  }

  /**
   * What speaks against it: views that are not served, and those that tell a reader what is not its own. All that are wrong in some pods
   * alone weigh less than one that is wrong in each.
   */
  get flaws(): number {
    const wrong = this.untrue.filter(({ isPartly }) => !isPartly).map(({ view }) => view);
    const partly = this.untrue.length - wrong.length;
    return new Set([...wrong, ...this.missingViews]).size + partly / (LXCFS_VIEW_NAMES.length + 1);
  }

  /**
   * Lets a reader compare, and keeps hold of the files that are served.
   * @param cgroups undefined where they are not known: then no test can be made
   * @param options `isAdopted`: it serves already, and is not ended because no test could be made; `withholds`: it does not serve what is
   * untrue
   * @returns what is wrong with it, undefined where it is ready, or has ended meanwhile
   */
  async prove(
    cgroups: Cgroups | undefined,
    replacer: MountReplacer,
    { isAdopted, withholds }: { isAdopted: boolean; withholds: boolean },
  ): Promise<string | undefined> {
    let detail: string | undefined;
    const result = cgroups ? await probeInstance(this.mountPoint, cgroups) : UNTESTED;
    if (this.phase === 'dead') return undefined;
    this.isUnfit = result.outcome === 'unfit';
    this.isProven = result.outcome === 'ready';
    if (result.outcome === 'ready' || (result.outcome === 'failed' && isAdopted)) {
      try {
        if (result.outcome === 'ready') this.untrue = result.untrue;
        const served = result.outcome === 'ready' ? result.files : FILES;
        const files = await this.#openPatiently(
          replacer,
          withholds ? served.filter((file) => !this.#isUntrue(file)) : served,
        );
        if ((this.phase as InstanceState['phase']) === 'dead') {
          closeAll(files);
          return undefined;
        }
        this.files = files;
        this.phase = 'ready';
        return undefined;
      } catch (error) {
        // NamespaceHangs: it hung since it was read from a moment ago.
        if (!(error instanceof NamespaceHangs)) detail = (error as Error).message;
      }
    }
    detail ??= 'detail' in result ? result.detail : 'a reader had to wait for ever';
    return `lxcfs ${this.record.version} is not fit: ${detail}`;
  }

  #isUntrue(file: string): boolean {
    return this.untrue.some(({ view, isPartly }) => !isPartly && `${file}/`.startsWith(`${LXCFS_VIEWS[view]}/`));
  }

  /** A serving instance is not ended because of a lack of descriptors. */
  async #openPatiently(replacer: MountReplacer, files: readonly string[]): Promise<Sources> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.openFiles(replacer, files);
      } catch (error) {
        if (!(error instanceof SystemCallError) || tries === OPEN_TRIES) throw error;
        await sleep(OPEN_PAUSE);
      }
    }
  }

  /** @returns those of the files that are there; they are the caller's to close @throws NamespaceHangs, SystemCallError */
  async openFiles(replacer: MountReplacer, files: readonly string[]): Promise<Sources> {
    const { mountPoint, device, id } = this;
    const paths = files.map((file) => `${mountPoint}${file}`);
    const descriptors = await replacer.open(paths, `lxcfs, instance ${id}`);
    return new Map(
      files.flatMap((file, i) => (descriptors[i] === undefined ? [] : [[file, { device, fd: descriptors[i] }]])),
    );
  }

  closeFiles(): void {
    closeAll(this.files);
    this.files = new Map();
  }

  /** Stops looking after it. It goes on running. */
  release(): void {
    this.phase = 'dead';
    this.process.release();
    this.closeFiles();
  }
}

/** Closes the descriptors of what an instance serves, or has served. */
export function closeAll(files: Sources): void {
  for (const { fd } of files.values()) closeSync(fd);
}
