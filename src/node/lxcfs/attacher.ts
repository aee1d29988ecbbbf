import type { MountReplacer } from '../../linux/mount-replacer.ts';
import type { Wakeups } from '../../linux/wakeups.ts';
import type { Logger } from '../../observability/logger.ts';
import { Starts } from '../containers/start-watcher.ts';
import { Timers } from '../reconcile/timers.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type Attached, type Healed, Reattach, type Unhealed } from './attach.ts';
import type { Sources } from './attach-plan.ts';
import type { Cgroups } from './cgroups.ts';
import type { LxcfsMetrics } from './metrics.ts';
import { mountNodeFiles } from './node-files.ts';

/** ms after a container's start at which the whole node is looked at: what was missed is found then. */
const LOOKS_AFTER_START = [300, 2000, 10_000];

export interface AttachmentOptions {
  readonly runDir: RunDir;
  readonly replacer: MountReplacer;
  readonly log: Logger;
  readonly metrics: LxcfsMetrics;
  /** Called after each look at the whole node. */
  readonly onHealed: () => void;
}

/** Keeps the containers of the node on what they ought to read: the published instance, or the node's own files for want of it. */
export class Attachment {
  readonly #options: AttachmentOptions;
  readonly #reattach: Reattach;
  readonly #looks = new Timers();
  #starts: Starts | undefined;
  #healing = 0;
  #isClosed = false;
  /** A heal could not be made: what is to be healed is not known then. */
  hasFailed = false;
  /** What the log has been told already of files that could not be put in place. */
  #told = new Set<string>();

  constructor(options: AttachmentOptions) {
    this.#options = options;
    this.#reattach = new Reattach(options.replacer, options.runDir.path, () => this.#openNodeFiles());
  }

  get isHealing(): boolean {
    return this.#healing > 0;
  }
  get attached(): Attached {
    return this.#reattach.attached;
  }
  get unhealed(): readonly Unhealed[] {
    return this.#reattach.unhealed;
  }

  /** Every file of this device gives errors from now on. */
  hasDied(device: string): void {
    this.#reattach.dead.add(device);
  }

  /** What containers ought to read from now on; in place of what is not in it, they read the node's own. Moves nobody yet. */
  serve(files: Sources): void {
    // Numbers of devices are used again.
    for (const { device } of files.values()) this.#reattach.dead.delete(device);
    this.#reattach.setLive(files);
  }

  /** Moves all containers that do not read what they ought to. @returns undefined where it could not be looked; the log says why */
  async heal(): Promise<Healed | undefined> {
    this.#healing++;
    try {
      const healed = await this.#reattach.heal();
      this.hasFailed = false;
      this.#told = this.#told.intersection(new Set(healed.unhealed.map(keyOf)));
      this.#report(healed);
      return healed;
    } catch (error) {
      this.#failed(error);
      return undefined;
    } finally {
      this.#healing--;
      this.#options.onHealed();
    }
  }

  /** Follows containers as they start: some may still mount from an instance that was published a moment ago. */
  followStarts(cgroups: Cgroups, wakeups: Wakeups): void {
    this.#starts ??= new Starts(
      cgroups.memory,
      wakeups,
      () => {
        this.#looks.clear();
        for (const delay of LOOKS_AFTER_START) this.#looks.after(delay, () => void this.heal());
      },
      (pid) =>
        void this.#reattach.healProcess(pid).then(
          (healed) => this.#report(healed),
          (error) => this.#failed(error),
        ),
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#starts?.close();
    this.#looks.clear();
    this.#reattach.close();
  }

  async #openNodeFiles(): Promise<Sources> {
    const files = [...mountNodeFiles(this.#options.runDir)];
    const descriptors = await this.#options.replacer.open(
      files.map(([, { path }]) => path),
      'the node’s own files',
    );
    return new Map(
      files.flatMap(([file, { device }], i) => {
        const fd = descriptors[i];
        return fd === undefined ? [] : [[file, { device, fd }]];
      }),
    );
  }

  #report({ files, unhealed }: Healed): void {
    if (files > 0) this.#options.metrics.reattached(files);
    for (const problem of unhealed) {
      if (this.#told.has(keyOf(problem))) continue;
      this.#told.add(keyOf(problem));
      this.#options.log.error(problem, `lxcfs could not be put in place: ${problem.reason}`);
    }
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return;
    if (!this.hasFailed)
      this.#options.log.error({ err: error }, 'containers could not be looked at: next try at the next check');
    this.hasFailed = true;
  }
}

const keyOf = ({ pid, path, reason }: Unhealed): string => `${pid} ${path} ${reason}`;
