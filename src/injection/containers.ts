import type { JsonObject } from '../contract/json.ts';
import type { Path } from './edit.ts';
import { ObjectError, objectsIn, stringIn } from './shape.ts';

/** Where a container stands in its pod. Ephemeral containers are not here: they come later, by a subresource. */
export interface Container {
  readonly name: string;
  readonly path: Path;
  /** The same as `path`, for messages: `spec.containers[0]`. */
  readonly field: string;
  readonly kind: 'regular' | 'sidecar' | 'init';
}

/** All containers of a pod, init containers last. Throws ObjectError. */
export function containersOf(spec: JsonObject): readonly Container[] {
  return (['containers', 'initContainers'] as const).flatMap((list) =>
    objectsIn(spec, list, 'spec').map((container, index): Container => {
      const field = `spec.${list}[${index}]`;
      const name = stringIn(container, 'name', field);
      if (name === undefined) throw new ObjectError(`${field}.name`, 'a name', container['name'] ?? '');
      const kind = list === 'containers' ? 'regular' : container['restartPolicy'] === 'Always' ? 'sidecar' : 'init';
      return { name, path: ['spec', list, index], field, kind };
    }),
  );
}

/** The container as it is in this state of the pod. */
export function containerIn(pod: JsonObject, container: Container): JsonObject {
  const [, list, index] = container.path as ['spec', string, number];
  const containers = (pod['spec'] as JsonObject)[list] as readonly JsonObject[];
  return containers[index] as JsonObject;
}
