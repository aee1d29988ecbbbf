import { exists } from '../../linux/exists.ts';
import type { IdMapping } from '../../linux/id-mapping.ts';
import { readMountinfo } from '../../linux/mountinfo.ts';
import type { Logger } from '../../observability/logger.ts';
import { KeyedQueue } from '../reconcile/keyed-queue.ts';
import { Retry } from '../reconcile/retry.ts';
import { ensureDirectory, namesIn, type RunDir } from '../run-dir/run-dir.ts';
import { TREES, type Tree, USERS, type ViewTree, viewTree } from './actual.ts';
import { removeDirectories } from './directories.ts';
import { readPodMapping } from './pod-mapping.ts';
import { umountPaths } from './unmount.ts';

/** A tree of a pod with users of its own, and who these are on the node. */
export interface PodTree {
  readonly podUid: string;
  readonly tree: ViewTree;
  readonly mapping: IdMapping;
}

export interface PodTreesOptions {
  readonly runDir: RunDir;
  /** Undefined: there is no kubelet, and so no such pod. */
  readonly kubeletDir: string | undefined;
  /** Whether such a volume of the pod is published; undefined where nobody knows. @throws Error of the system */
  readonly isPublished: (podUid: string) => boolean | undefined;
  readonly log: Logger;
  /** Disks of these classes can be shown to another pod now. */
  readonly onReady: (classes: ReadonlySet<string>) => void;
}

interface Pod {
  readonly classes: Readonly<Record<Tree, Set<string>>>;
  /** Undefined as long as the kubelet has not written it. */
  mapping: IdMapping | undefined;
}

/** ms. Mostly, the mounts of the pod's sandbox tell sooner. */
const RETRY = { first: 250, last: 30_000 };

/** The trees of pods with users of their own (`hostUsers: false`): which there are, and by which ids disks are shown there. */
export class PodTrees {
  readonly #options: PodTreesOptions;
  readonly #pods = new Map<string, Pod>();
  /** Pods that have ended, and have a directory still. */
  readonly #ended = new Set<string>();
  readonly #removals = new KeyedQueue<string>((podUid) => this.#remove(podUid));
  readonly #retry = new Retry(() => this.look(), RETRY);
  /** Why a mapping cannot be read, as the log has been told, by pod. */
  readonly #problems = new Map<string, string>();

  constructor(options: PodTreesOptions) {
    this.#options = options;
  }

  /** Of the pods that have the class, and whose users are known. */
  of(className: string): PodTree[] {
    return [...this.#pods].flatMap(([podUid, { classes, mapping }]) =>
      TREES.flatMap((tree) =>
        mapping && classes[tree].has(className) ? { podUid, tree: viewTree(podUid, tree), mapping } : [],
      ),
    );
  }

  /** Makes the directory that is about to be published to a pod. @throws Error of the system */
  make(podUid: string, tree: Tree, className: string): void {
    this.#ended.delete(podUid);
    const pod = this.#pods.get(podUid) ?? { classes: { media: new Set(), 'media-ro': new Set() }, mapping: undefined };
    this.#pods.set(podUid, pod);
    pod.classes[tree].add(className);
    this.#ensure(podUid, pod);
    if (pod.mapping) this.#options.onReady(new Set([className]));
    this.look();
  }

  /** A volume of the pod has been unpublished: where it was the last one of these, its directory goes. @throws Error of the system */
  release(podUid: string): void {
    if (!this.#pods.has(podUid) || this.#options.isPublished(podUid) !== false) return;
    this.#forget(podUid);
    this.look();
  }

  /** Takes over what earlier daemons made. @throws Error of the system */
  resync(): void {
    const { runDir, isPublished } = this.#options;
    for (const podUid of namesIn(runDir, USERS)) {
      const classesOf = (tree: Tree): Set<string> => new Set(namesIn(runDir, viewTree(podUid, tree)));
      if (isPublished(podUid) === false) this.#forget(podUid);
      else {
        const classes = { media: classesOf('media'), 'media-ro': classesOf('media-ro') };
        this.#pods.set(podUid, { classes, mapping: undefined });
      }
    }
    this.look();
  }

  /** Looks whether the kubelet has written who the users of pods are, and removes what is left of others. Does nothing where no pod waits. */
  look(): void {
    const ready = new Set<string>();
    let isWaiting = this.#ended.size > 0;
    for (const [podUid, pod] of this.#pods) {
      if (pod.mapping) continue;
      pod.mapping = this.#read(podUid);
      if (!pod.mapping) isWaiting = true;
      else for (const name of TREES.flatMap((tree) => [...pod.classes[tree]])) ready.add(name);
    }
    for (const podUid of this.#ended) this.#removals.request(podUid);
    if (ready.size > 0) this.#options.onReady(ready);
    this.#retry.set(isWaiting);
  }

  close(): void {
    this.#retry.set(false);
  }

  #ensure(podUid: string, { classes }: Pod): void {
    for (const tree of TREES) {
      for (const name of classes[tree]) ensureDirectory(this.#options.runDir, `${viewTree(podUid, tree)}/${name}`);
    }
  }

  #forget(podUid: string): void {
    this.#pods.delete(podUid);
    this.#problems.delete(podUid);
    this.#ended.add(podUid);
  }

  #read(podUid: string): IdMapping | undefined {
    const { kubeletDir, log } = this.#options;
    try {
      return kubeletDir === undefined ? undefined : readPodMapping(kubeletDir, podUid);
    } catch (error) {
      const { message } = error as Error;
      if (this.#problems.get(podUid) !== message) {
        log.error(
          { podUid },
          `the pod sees no disk: the ids of its users, which the kubelet writes down, cannot be read: ${message}; next try within 30 s`,
        );
      }
      this.#problems.set(podUid, message);
      return undefined;
    }
  }

  async #remove(podUid: string): Promise<void> {
    const { runDir, log } = this.#options;
    const root = `${USERS}/${podUid}`;
    try {
      const mountPoints = readMountinfo().flatMap(({ mountPoint }) =>
        mountPoint.startsWith(`${runDir.path}/${root}/`) ? mountPoint : [],
      );
      if (mountPoints.length > 0) await umountPaths(mountPoints, ['-l']);
      await removeDirectories(runDir, [...directoriesBelow(runDir, root), root]);
      if (!exists(`${runDir.work}/${root}`)) this.#ended.delete(podUid);
      // It may have been published anew meanwhile.
      const pod = this.#pods.get(podUid);
      if (pod) this.#ensure(podUid, pod);
    } catch (error) {
      log.error({ err: error, podUid }, 'the directory of a pod that has ended stays: next try within a minute');
    }
  }
}

/** The innermost first. */
const directoriesBelow = (runDir: RunDir, path: string): string[] =>
  namesIn(runDir, path).flatMap((name) => [...directoriesBelow(runDir, `${path}/${name}`), `${path}/${name}`]);
