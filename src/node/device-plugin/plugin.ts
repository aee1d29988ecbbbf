import { realpathSync } from 'node:fs';
import { classKey } from '../../contract/annotations.ts';
import { exists } from '../../linux/exists.ts';
import type { Logger } from '../../observability/logger.ts';
import { registryIn, removeSockets, socketName } from './registry.ts';
import { CountedResource } from './resource.ts';

/** What `hotmount status` says of the device plugin. */
export interface DevicePluginStatus {
  readonly kubeletDir: string;
  readonly resources: readonly ResourceStatus[];
  readonly problem?: string;
}

export interface ResourceStatus {
  /** `hotmount.io/serial` */
  readonly name: string;
  readonly count: number;
  /** Whether the kubelet knows the count. */
  readonly registered: boolean;
  readonly problem?: string;
}

/**
 * The kubelet's device plugin: `hotmount.io/<class>` as an extended resource of the node, as many as are plugged in. It only counts: what
 * pods get is their volumes' and grants' matter.
 */
export class DevicePlugin {
  readonly #kubeletDir: string;
  readonly #registry: string | undefined;
  readonly #log: Logger;
  readonly #resources = new Map<string, CountedResource>();

  /** Takes away what is left of classes that an earlier daemon had. @param classes those of the policy @throws Error of the system */
  constructor(kubeletDir: string, classes: readonly string[], log: Logger) {
    this.#kubeletDir = kubeletDir;
    this.#log = log;
    this.#registry = exists(kubeletDir) ? registryIn(realpathSync(kubeletDir)) : undefined;
    if (this.#registry === undefined) log.warn(this.#absence);
    this.setClasses(classes);
  }

  /**
   * One resource a class. They are served some milliseconds later.
   * @throws Error of the system where what is left of another class stays: the next call takes it away
   */
  setClasses(classes: readonly string[]): void {
    if (this.#registry === undefined) return;
    for (const [className, resource] of this.#resources) {
      if (classes.includes(className)) continue;
      resource.remove();
      this.#resources.delete(className);
    }
    for (const className of classes) {
      if (!this.#resources.has(className)) this.#add(className, this.#registry);
    }
    // The kubelet counts none of the others any more, and forgets them after a while.
    removeSockets(this.#registry, classes);
  }

  /** @param counts by class; a class that is not in it has none */
  setCounts(counts: ReadonlyMap<string, number>): void {
    for (const [className, resource] of this.#resources) resource.setCount(counts.get(className) ?? 0);
  }

  status(): DevicePluginStatus {
    return {
      kubeletDir: this.#kubeletDir,
      resources: [...this.#resources.values()].map(({ name, count, isWatched, problem }) => ({
        name,
        count,
        registered: isWatched,
        ...(problem === undefined ? {} : { problem }),
      })),
      ...(this.#registry === undefined ? { problem: this.#absence } : {}),
    };
  }

  /** The sockets stay, for the next daemon. */
  close(): void {
    for (const resource of this.#resources.values()) resource.close();
  }

  get #absence(): string {
    return `there is no kubelet directory ${this.#kubeletDir}: no resource is counted on this node (--kubelet-dir)`;
  }

  #add(className: string, registry: string): void {
    const resource = new CountedResource(classKey(className), `${registry}/${socketName(className)}`, this.#log);
    this.#resources.set(className, resource);
    void resource.serve();
  }
}
