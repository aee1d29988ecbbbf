import { normalizeCapability } from '../contract/capabilities.ts';
import type { JsonObject } from '../contract/json.ts';
import { normalizePath } from '../contract/paths.ts';
import type { PropagationMode } from '../contract/wants.ts';
import type { Container } from './containers.ts';
import { append, edit } from './edit.ts';
import { objectIn, objectsIn, stringIn, stringsIn } from './shape.ts';

/** What is at a mount path of a container. */
export interface Taken {
  readonly by: 'volume' | 'volume device';
  readonly mount: JsonObject;
}

/** A container in the making, as PodDraft is a pod: what is added is kept beside the container, and can be undone. */
export class ContainerDraft {
  readonly container: Container;
  readonly #object: JsonObject;
  readonly #undo: (() => void)[];
  #mounts: readonly JsonObject[] | undefined;
  #paths: Map<string, Taken> | undefined;
  #capabilities: { add: Set<string>; drop: Set<string> } | undefined;
  readonly #addedMounts: JsonObject[] = [];
  readonly #addedCapabilities: string[] = [];
  readonly #propagation = new Map<number, PropagationMode>();
  #privileged = false;

  constructor(container: Container, spec: JsonObject, undo: (() => void)[]) {
    this.container = container;
    this.#object = (spec[container.list] as readonly JsonObject[])[container.index] as JsonObject;
    this.#undo = undo;
  }

  /** The container as it came. */
  get original(): JsonObject {
    return this.#object;
  }

  get changed(): boolean {
    const { length } = this.#addedMounts;
    return length + this.#addedCapabilities.length + this.#propagation.size > 0 || this.#privileged;
  }

  /** The security context as it came, empty where there is none. Throws ObjectError. */
  get security(): JsonObject {
    return objectIn(this.#object, 'securityContext', this.container.field) ?? {};
  }

  get privileged(): boolean {
    return this.#privileged || this.security['privileged'] === true;
  }

  setPrivileged(): void {
    if (this.privileged) return;
    this.#undo.push(() => {
      this.#privileged = false;
    });
    this.#privileged = true;
  }

  /** Normalized names, as they will be. Throws ObjectError. */
  capabilities(list: 'add' | 'drop'): ReadonlySet<string> {
    if (!this.#capabilities) {
      const field = `${this.container.field}.securityContext`;
      const existing = objectIn(this.security, 'capabilities', field) ?? {};
      const names = (key: string) =>
        new Set(stringsIn(existing, key, `${field}.capabilities`).map(normalizeCapability));
      this.#capabilities = { add: names('add'), drop: names('drop') };
    }
    return this.#capabilities[list];
  }

  /** Expects one that is not among `capabilities('add')`. */
  addCapability(name: string): void {
    this.#undo.push(() => {
      this.#capabilities?.add.delete(name);
      this.#addedCapabilities.pop();
    });
    this.#capabilities?.add.add(name);
    this.#addedCapabilities.push(name);
  }

  /** What is mounted at a normalized path. Throws ObjectError. */
  at(path: string): Taken | undefined {
    return this.#pathsTaken().get(path);
  }

  /** A path below this one, other than `except`, at which something is mounted. Throws ObjectError. */
  inside(path: string, except?: string): string | undefined {
    return this.#pathsTaken()
      .keys()
      .find((other) => other.startsWith(`${path}/`) && other !== except);
  }

  /** Expects a normalized path at which nothing is. */
  addMount(path: string, mount: JsonObject): void {
    this.#undo.push(() => {
      this.#paths?.delete(path);
      this.#addedMounts.pop();
    });
    this.#pathsTaken().set(path, { by: 'volume', mount });
    this.#addedMounts.push(mount);
  }

  /** The mounts as they came. Throws ObjectError. */
  get mounts(): readonly JsonObject[] {
    this.#mounts ??= objectsIn(this.#object, 'volumeMounts', this.container.field);
    return this.#mounts;
  }

  /** The mode of one of `mounts`, as it will be; undefined where none is written out. Throws ObjectError. */
  propagation(index: number): string | undefined {
    const field = `${this.container.field}.volumeMounts[${index}]`;
    return this.#propagation.get(index) ?? stringIn(this.mounts[index] ?? {}, 'mountPropagation', field);
  }

  setPropagation(index: number, mode: PropagationMode): void {
    if (this.mounts[index]?.['mountPropagation'] === mode) return;
    const before = this.#propagation.get(index);
    this.#undo.push(() => {
      if (before) this.#propagation.set(index, before);
      else this.#propagation.delete(index);
    });
    this.#propagation.set(index, mode);
  }

  build(): JsonObject {
    let built = this.#object;
    if (this.#propagation.size > 0) {
      const mounts = this.mounts.map((mount, index) => {
        const mode = this.#propagation.get(index);
        return mode === undefined ? mount : { ...mount, mountPropagation: mode };
      });
      built = { ...built, volumeMounts: mounts };
    }
    if (this.#addedMounts.length > 0) built = append(built, ['volumeMounts'], ...this.#addedMounts);
    if (this.#privileged) built = edit(built, ['securityContext', 'privileged'], () => true);
    if (this.#addedCapabilities.length > 0) {
      built = append(built, ['securityContext', 'capabilities', 'add'], ...this.#addedCapabilities);
    }
    return built;
  }

  #pathsTaken(): Map<string, Taken> {
    if (this.#paths) return this.#paths;
    const paths = new Map<string, Taken>();
    const { field } = this.container;
    for (const mount of this.mounts) {
      const path = stringIn(mount, 'mountPath', `${field}.volumeMounts`);
      if (path !== undefined) paths.set(normalizePath(`/${path}`), { by: 'volume', mount });
    }
    for (const device of objectsIn(this.#object, 'volumeDevices', field)) {
      const path = stringIn(device, 'devicePath', `${field}.volumeDevices`);
      if (path !== undefined) paths.set(normalizePath(`/${path}`), { by: 'volume device', mount: device });
    }
    this.#paths = paths;
    return paths;
  }
}
