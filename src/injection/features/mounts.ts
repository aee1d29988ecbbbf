import { posix } from 'node:path';
import { isObject, type JsonObject } from '../../contract/json.ts';
import { finding } from '../../contract/reasons.ts';
import { quote } from '../../contract/suggest.ts';
import {
  DRIVER,
  isFileVolume,
  OWN_VOLUME,
  type OwnVolume,
  type VolumeKind,
  volumeAttributes,
  volumeName,
  volumePath,
} from '../../contract/volumes.ts';
import type { PropagationMode } from '../../contract/wants.ts';
import type { ContainerDraft } from '../container-draft.ts';
import type { PodDraft } from '../pod-draft.ts';
import { Conflict, conflict, type Exposure } from './feature.ts';

const { dirname } = posix;

/** Any hostPath volume breaks `baseline`; Pod Security has nothing against `csi`. */
const HOST_PATH: readonly Exposure[] = [{ level: 'baseline', field: 'spec.volumes[*].hostPath' }];
const NONE: readonly Exposure[] = [];

export interface Volume extends JsonObject {
  readonly name: string;
}

/** A hotmount volume, as it stands in a pod. With either kind, containers get the same mount of the node. */
export interface OwnSource extends Record<VolumeKind, Volume> {
  readonly name: string;
  /** As earlier versions wrote it into a pod with users of its own: it stays. */
  readonly earlier?: Volume;
}

/** The types `Directory` and `File` make the kubelet wait for the node daemon rather than mount something empty. */
export function ownSource(volume: OwnVolume): OwnSource {
  const name = volumeName(volume);
  const csi = (given: OwnVolume): Volume => ({
    name,
    csi: { driver: DRIVER, readOnly: true, volumeAttributes: volumeAttributes(given) },
  });
  return {
    name,
    csi: csi(volume),
    ...(volume.gives === 'media' && volume.ownUsers
      ? { earlier: csi({ gives: 'media', class: volume.class, readOnly: volume.readOnly }) }
      : {}),
    hostPath: { name, hostPath: { path: volumePath(volume), type: isFileVolume(volume) ? 'File' : 'Directory' } },
  };
}

/** By which fields a pod with the volume breaks a Pod Security level: one of another kind that it has already stays. */
export function ownExposures(draft: PodDraft, { name }: OwnSource): readonly Exposure[] {
  const existing = draft.volume(name);
  const isHostPath = existing ? isObject(existing['hostPath']) : draft.volumeKind === 'hostPath';
  return isHostPath ? HOST_PATH : NONE;
}

/** A volume as a container is to see it. */
export interface Mount extends JsonObject {
  readonly name: string;
  /** Normalized. */
  readonly mountPath: string;
  readonly readOnly?: true;
  readonly mountPropagation?: PropagationMode;
  readonly recursiveReadOnly?: 'IfPossible';
}

/**
 * Adds a hotmount volume, and its mount in the container, unless they are there already. A volume from before is left as it
 * is, of whichever kind. Conflict where the name or the path is taken.
 */
export function addOwnMount(
  draft: PodDraft,
  container: ContainerDraft,
  source: OwnSource,
  mount: Mount,
  annotation: string,
): void {
  const existing = draft.volume(source.name);
  const { csi, hostPath, earlier = csi } = source;
  const isOurs = existing && [csi, hostPath, earlier].some((volume) => includes(existing, volume));
  addMount(draft, container, isOurs ? (existing as Volume) : source[draft.volumeKind], mount, annotation);
}

/** The same for any volume. */
export function addMount(
  draft: PodDraft,
  container: ContainerDraft,
  volume: Volume,
  mount: Mount,
  annotation: string,
): void {
  const existing = draft.volume(volume.name);
  if (!existing) draft.addVolume(volume.name, volume);
  else if (!includes(existing, volume)) throw conflict('volume_name_taken', { volume: volume.name, annotation });

  const taken = container.at(mount.mountPath);
  if (!taken) {
    refuseInside(container, mount.mountPath, annotation);
    container.addMount(mount.mountPath, mount);
  } else if (taken.by === 'volume device' || !isSame(taken.mount, mount)) {
    const options = taken.mount['name'] === mount.name ? ' with other options' : '';
    const parameters = {
      container: container.container.name,
      path: mount.mountPath,
      taker: `${taken.by} ${quote(taken.mount['name'])}${options}`,
      annotation,
      volume: mount.name,
    };
    throw new Conflict(finding('mount_path_taken', parameters), finding('mount_path_kept', parameters));
  }
}

/**
 * The same for a directory that is read-only: nothing can be mounted inside, as the runtime would have to make the mount point in it.
 * @param except a path inside at which the node has made the mount point
 */
export function addReadOnlyDirectory(
  draft: PodDraft,
  container: ContainerDraft,
  source: OwnSource,
  mount: Mount,
  annotation: string,
  except?: string,
): void {
  addOwnMount(draft, container, source, mount, annotation);
  const inner = container.inside(mount.mountPath, except);
  if (inner !== undefined) throw nested(container, inner, mount.mountPath, annotation);
}

function refuseInside(container: ContainerDraft, path: string, annotation: string): void {
  for (let outer = dirname(path); outer !== '/'; outer = dirname(outer)) {
    const mount = container.at(outer)?.mount;
    const name = mount?.['name'];
    if (mount?.['readOnly'] === true && typeof name === 'string' && name.startsWith(OWN_VOLUME)) {
      throw nested(container, path, outer, annotation);
    }
  }
}

const nested = ({ container }: ContainerDraft, inner: string, outer: string, annotation: string) =>
  conflict('mount_path_nested', { container: container.name, inner, outer, annotation });

/** API servers before 1.31 may drop recursiveReadOnly, and our own mount comes back to us without it. */
function isSame(existing: JsonObject, mount: Mount): boolean {
  const { recursiveReadOnly: _, ...rest } = mount;
  const expected = existing['recursiveReadOnly'] === undefined ? rest : mount;
  const isWhole = !existing['subPath'] && !existing['subPathExpr'];
  return isWhole && includes({ ...existing, mountPath: mount.mountPath }, expected);
}

/** Every field of `part` is in `whole`; the API server may have added defaults. */
function includes(whole: unknown, part: unknown): boolean {
  if (whole === part) return true;
  if (typeof whole !== 'object' || whole === null || typeof part !== 'object' || part === null) return false;
  return Object.entries(part).every(([key, value]) => includes((whole as JsonObject)[key], value));
}
