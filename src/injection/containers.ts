import type { JsonObject } from '../contract/json.ts';
import { ObjectError, objectsIn, stringIn } from './shape.ts';

/** Where a container stands in its pod. Ephemeral containers are not here: they come later, by a subresource. */
export interface Container {
  readonly name: string;
  readonly list: 'containers' | 'initContainers';
  readonly index: number;
  /** For messages: `spec.containers[0]`. */
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
      return { name, list, index, field, kind };
    }),
  );
}
