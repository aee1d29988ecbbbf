import { type MountReplacer, NamespaceHangs } from '../../linux/mount-replacer.ts';
import type { Logger } from '../../observability/logger.ts';
import { StartWatcher } from '../containers/start-watcher.ts';
import { Debounce } from '../reconcile/debounce.ts';
import type { RunDir } from '../run-dir/run-dir.ts';
import { type AttachedCount, Attacher } from './attach.ts';
import type { AttachFailure, AttachResult } from './attach-pass.ts';
import type { Sources } from './attach-plan.ts';
import type { Cgroups } from './cgroups.ts';
import { closeAll, type Instance } from './instance.ts';
import type { LxcfsMetrics } from './metrics.ts';
import { mountNodeFiles } from './node-files.ts';

/** ms after a container's start at which the whole node is resynced: that finds what was missed. */
const RESYNC_AFTER_START = [300, 2000, 10_000];

export interface AttachControllerOptions {
  readonly runDir: RunDir;
  readonly replacer: MountReplacer;
  readonly log: Logger;
  readonly metrics: LxcfsMetrics;
  /** Called after each resync. */
  readonly onResynced: () => void;
}

/** Attaches containers to the published instance, else to the node's files. */
export class AttachController {
  readonly #options: AttachControllerOptions;
  readonly #attacher: Attacher;
  readonly #resyncs = new Debounce(RESYNC_AFTER_START, () => void this.resync());
  #starts: StartWatcher | undefined;
  #source: Instance | undefined;
  #running = 0;
  #isClosed = false;
  /** The last resync failed: what is left to attach is not known. */
  #hasFailed = false;
  /** What the log has been told already of files that could not be put in place. */
  #told = new Set<string>();

  constructor(options: AttachControllerOptions) {
    this.#options = options;
    this.#attacher = new Attacher(options.replacer, options.runDir.path, () => this.#openNodeFiles());
  }

  get isAttaching(): boolean {
    return this.#running > 0;
  }
  get attached(): AttachedCount {
    return this.#attacher.attached;
  }
  get failures(): readonly AttachFailure[] {
    return this.#attacher.failures;
  }

  /** Why containers may be attached later than they start. */
  get problem(): string | undefined {
    return this.#starts?.problem;
  }

  /** Every file of this device gives errors from now on. */
  markDead(device: string): void {
    this.#attacher.dead.add(device);
  }

  /** The instance whose files containers are attached to; undefined: they get the node's. */
  get source(): Instance | undefined {
    return this.#source;
  }

  /** Sets the instance that containers read from now on; what it does not serve, they read from the node. Moves nobody yet. */
  setSource(instance: Instance | undefined): void {
    this.#source = instance;
    this.#useFiles(instance?.files ?? new Map());
  }

  #useFiles(files: Sources): void {
    // Numbers of devices are used again.
    for (const { device } of files.values()) this.#attacher.dead.delete(device);
    this.#attacher.setSources(files);
  }

  /** Moves all containers that read from elsewhere. @returns undefined where it failed; the log says why */
  async resync(): Promise<AttachResult | undefined> {
    this.#running++;
    try {
      const result = await this.#attacher.attachAll();
      this.#hasFailed = false;
      this.#told = this.#told.intersection(new Set(result.failures.map(keyOf)));
      this.#report(result);
      return result;
    } catch (error) {
      this.#failed(error);
      return undefined;
    } finally {
      this.#running--;
      this.#options.onResynced();
    }
  }

  /**
   * Tries once more what the last resync could not attach, from files looked up again: the kernel may have dropped their names.
   * @throws SystemCallError
   */
  async retryFailures(): Promise<void> {
    if (this.failures.length === 0 && !this.#hasFailed) return;
    const source = this.#source;
    const before = source?.files;
    if (source?.phase !== 'ready' || !before) return void (await this.resync());
    let files: Sources;
    try {
      files = await source.openFiles(this.#options.replacer, [...before.keys()]);
    } catch (error) {
      if (error instanceof NamespaceHangs) return;
      throw error;
    }
    // Else it has ended meanwhile, or another has taken its place.
    const isFresh = files.size >= before.size && source.files === before && source === this.#source;
    if (isFresh) {
      source.files = files;
      this.#useFiles(files);
    }
    await this.resync();
    closeAll(isFresh ? before : files);
  }

  /** Follows containers as they start: some may still mount from an instance that was published a moment ago. */
  watchStarts(cgroups: Cgroups): void {
    this.#starts ??= new StartWatcher(
      cgroups.memory,
      {
        onStart: () => this.#resyncs.ask(),
        onMounts: (pid) =>
          void this.#attacher.attachProcess(pid).then(
            (result) => {
              this.#report(result);
              if (result.failures.length > 0) this.#resyncs.ask();
            },
            (error) => this.#failed(error),
          ),
      },
      this.#options.log,
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#starts?.close();
    this.#resyncs.clear();
    this.#attacher.close();
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

  #report({ files, failures }: AttachResult): void {
    if (files > 0) this.#options.metrics.attached(files);
    for (const problem of failures) {
      if (this.#told.has(keyOf(problem))) continue;
      this.#told.add(keyOf(problem));
      this.#options.log.error(problem, `lxcfs could not be put in place: ${problem.reason}`);
    }
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return;
    if (!this.#hasFailed)
      this.#options.log.error({ err: error }, 'containers could not be attached: next try at the next check');
    this.#hasFailed = true;
  }
}

const keyOf = ({ pid, path, reason }: AttachFailure): string => `${pid} ${path} ${reason}`;
