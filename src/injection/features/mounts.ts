import type { JsonObject } from '../../contract/json.ts';
import { normalizePath } from '../../contract/paths.ts';
import { quote } from '../../contract/suggest.ts';
import { type Container, containerIn } from '../containers.ts';
import { append } from '../edit.ts';
import { objectsIn, stringIn } from '../shape.ts';
import { conflict, type Exposure } from './feature.ts';

/** hotmount's volumes are told by their names, so that a second pass finds them. */
export const OWN_VOLUME = 'hotmount-';

/** Any hostPath volume breaks `baseline`. */
export const HOST_PATH: Exposure = { level: 'baseline', field: 'spec.volumes[*].hostPath' };

/** `Directory` and `File` make the kubelet wait for the node daemon rather than mount something empty. */
export const hostPath = (name: string, path: string, type: 'Directory' | 'File'): JsonObject => ({
  name,
  hostPath: { path, type },
});

/** The pod with `volume`, and with `mount` in the container. Each stays as it is where it is there already; Conflict where it is taken. */
export function withMount(
  pod: JsonObject,
  container: Container,
  volume: JsonObject,
  mount: JsonObject,
  annotation: string,
): JsonObject {
  return addMount(addVolume(pod, volume, annotation), container, mount, annotation);
}

function addVolume(pod: JsonObject, volume: JsonObject, annotation: string): JsonObject {
  const existing = objectsIn(pod['spec'] as JsonObject, 'volumes', 'spec').find(({ name }) => name === volume['name']);
  if (!existing) return append(pod, ['spec', 'volumes'], volume);
  if (includes(existing, volume)) return pod;
  throw conflict('volume_name_taken', { volume: String(volume['name']), annotation });
}

function addMount(pod: JsonObject, container: Container, mount: JsonObject, annotation: string): JsonObject {
  const path = String(mount['mountPath']);
  const existing = containerIn(pod, container);
  const taken = (taker: string) =>
    conflict('mount_path_taken', {
      container: container.name,
      path,
      taker,
      annotation,
      volume: String(mount['name']),
    });

  for (const other of objectsIn(existing, 'volumeMounts', container.field)) {
    if (!samePath(stringIn(other, 'mountPath', `${container.field}.volumeMounts`), path)) continue;
    if (includes(other, mount) && !other['subPath'] && !other['subPathExpr']) return pod;
    const options = other['name'] === mount['name'] ? ' with other options' : '';
    throw taken(`volume ${quote(other['name'])}${options}`);
  }
  for (const device of objectsIn(existing, 'volumeDevices', container.field)) {
    if (samePath(stringIn(device, 'devicePath', `${container.field}.volumeDevices`), path)) {
      throw taken(`volume device ${quote(device['name'])}`);
    }
  }
  return append(pod, [...container.path, 'volumeMounts'], mount);
}

const samePath = (a: string | undefined, b: string): boolean => a !== undefined && normalizePath(a) === b;

/** Every field of `part` is in `whole`; the API server may have added defaults. */
function includes(whole: unknown, part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return whole === part;
  if (typeof whole !== 'object' || whole === null) return false;
  return Object.entries(part).every(([key, value]) => includes((whole as JsonObject)[key], value));
}
