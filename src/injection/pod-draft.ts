import type { JsonObject } from '../contract/json.ts';
import type { VolumeKind } from '../contract/volumes.ts';
import { ContainerDraft } from './container-draft.ts';
import type { Container } from './containers.ts';
import { append, edit } from './edit.ts';
import { objectsIn, stringIn } from './shape.ts';

/**
 * A pod in the making. What is added is kept beside the pod, which stays as it is, and `build` puts the two together once: a change
 * costs a look-up, not a copy of everything above it.
 */
export class PodDraft {
  readonly #pod: JsonObject;
  /** As it came. */
  readonly spec: JsonObject;
  /** Of the volumes that are added. */
  readonly volumeKind: VolumeKind;
  readonly #containers: ReadonlyMap<Container, ContainerDraft>;
  readonly #undo: (() => void)[] = [];
  readonly #known = new Map<unknown, unknown>();
  #volumes: Map<string, JsonObject> | undefined;
  #addedVolumes: JsonObject[] = [];
  #podFields: JsonObject = {};

  /** Expects the pod's spec to be an object. */
  constructor(pod: JsonObject, containers: readonly Container[], volumeKind: VolumeKind) {
    this.#pod = pod;
    this.spec = pod['spec'] as JsonObject;
    this.volumeKind = volumeKind;
    this.#containers = new Map(
      containers.map((container) => [container, new ContainerDraft(container, this.spec, this.#undo)]),
    );
  }

  get containers(): Iterable<ContainerDraft> {
    return this.#containers.values();
  }

  container(container: Container): ContainerDraft {
    return this.#containers.get(container) as ContainerDraft;
  }

  /** What `compute` says of the pod as it came, worked out once, however many containers ask. */
  once<T>(compute: (draft: PodDraft) => T): T {
    if (!this.#known.has(compute)) this.#known.set(compute, compute(this));
    return this.#known.get(compute) as T;
  }

  /** A field of the spec, as it will be. */
  podField(name: string): unknown {
    return this.#podFields[name] ?? this.spec[name];
  }

  setPodField(name: string, value: string | boolean): void {
    const before = this.#podFields;
    this.#undo.push(() => {
      this.#podFields = before;
    });
    this.#podFields = { ...before, [name]: value };
  }

  /** Throws ObjectError. */
  get volumeNames(): Iterable<string> {
    return this.#volumesByName().keys();
  }

  /** Throws ObjectError. */
  volume(name: string): JsonObject | undefined {
    return this.#volumesByName().get(name);
  }

  /** Expects a name that no volume has yet. */
  addVolume(name: string, volume: JsonObject): void {
    this.#undo.push(() => {
      this.#volumes?.delete(name);
      this.#addedVolumes.pop();
    });
    this.#volumesByName().set(name, volume);
    this.#addedVolumes.push(volume);
  }

  /** Does what `change` does wholly or, where it throws, not at all. */
  atomically(change: () => void): void {
    this.#undo.length = 0;
    try {
      change();
    } catch (error) {
      for (const undo of this.#undo.splice(0).reverse()) undo();
      throw error;
    }
  }

  #volumesByName(): Map<string, JsonObject> {
    if (this.#volumes) return this.#volumes;
    const volumes = new Map<string, JsonObject>();
    for (const volume of objectsIn(this.spec, 'volumes', 'spec')) {
      const name = stringIn(volume, 'name', 'spec.volumes');
      if (name !== undefined && !volumes.has(name)) volumes.set(name, volume);
    }
    this.#volumes = volumes;
    return volumes;
  }

  /** The pod with all that was added; the very same pod where nothing was. */
  build(): JsonObject {
    let spec = this.spec;
    if (Object.keys(this.#podFields).length > 0) spec = { ...spec, ...this.#podFields };
    if (this.#addedVolumes.length > 0) spec = append(spec, ['volumes'], ...this.#addedVolumes);
    for (const [list, drafts] of Map.groupBy(this.#containers.values(), (draft) => draft.container.list)) {
      if (!drafts.some((draft) => draft.changed)) continue;
      spec = edit(spec, [list], () => drafts.map((draft) => draft.build()));
    }
    return spec === this.spec ? this.#pod : { ...this.#pod, spec };
  }
}
