import { isObject, type JsonObject } from '../contract/json.ts';
import { normalizePath, pathProblem } from '../contract/paths.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import { quote } from '../contract/suggest.ts';
import { DRIVER, type OwnVolume, readVolumeAttributes, readVolumePath } from '../contract/volumes.ts';
import { matchingRules, NamespaceLabelsUnknownError, type Policy, volumeRefusal } from '../policy/index.ts';
import { containersOf } from './containers.ts';
import { type Context, subjectOf } from './inject.ts';
import { ObjectError, objectIn, objectsIn, stringIn } from './shape.ts';

/**
 * Why the policy refuses hotmount volumes of a pod, whoever wrote them: written by hand, they are judged
 * as annotations are. Empty: it gives all of them. Throws ObjectError, and NamespaceLabelsUnknownError where labels that are not known
 * decide.
 */
export function judgeVolumes(pod: JsonObject, context: Context, policy: Policy): readonly Finding[] {
  const spec = objectIn(pod, 'spec', '');
  if (!spec) throw new ObjectError('spec', 'an object', pod['spec'] ?? null);
  const subject = subjectOf(objectIn(pod, 'metadata', '') ?? {}, spec, context);
  const rules = matchingRules(policy, subject);
  const findings: Finding[] = [];
  for (const volume of objectsIn(spec, 'volumes', 'spec')) {
    const name = stringIn(volume, 'name', 'spec.volumes') ?? '';
    const read = readOwn(volume, name);
    if (read === undefined) continue;
    if ('finding' in read) {
      findings.push(read.finding);
      continue;
    }
    const mounts = mountsOf(spec, name);
    findings.push(...userProblems(name, read.volume, spec), ...mountProblems(name, read.volume, mounts));
    const devPaths = mounts.map(({ path }) => path);
    const refusal = volumeRefusal(policy, rules, subject, { volume: read.volume, name, devPaths });
    if (refusal === 'undecided') {
      throw new NamespaceLabelsUnknownError(context.namespace, rules.undecided[0]?.name ?? '');
    }
    if (refusal) findings.push(refusal);
  }
  return findings;
}

/** What a volume of ours gives, or why it gives nothing; undefined for a volume that is not ours. Throws ObjectError. */
function readOwn(
  volume: JsonObject,
  name: string,
): { readonly volume: OwnVolume } | { readonly finding: Finding } | undefined {
  const csi = objectIn(volume, 'csi', 'spec.volumes');
  if (csi?.['driver'] === DRIVER) {
    const attributes = csi['volumeAttributes'];
    const read = readVolumeAttributes(isObject(attributes) ? attributes : {});
    if ('problem' in read) {
      return { finding: finding('volume_attributes_invalid', { volume: name, problem: read.problem }) };
    }
    return csi['readOnly'] === true ? read : { finding: finding('volume_not_read_only', { volume: name }) };
  }
  const hostPath = objectIn(volume, 'hostPath', 'spec.volumes');
  const path = hostPath && stringIn(hostPath, 'path', 'spec.volumes.hostPath');
  const below = path === undefined ? undefined : belowRunDir(path);
  if (below === undefined) return undefined;
  const own = readVolumePath(below);
  return own ? { volume: own } : { finding: finding('volume_path_unknown', { volume: name, path: quote(path) }) };
}

/**
 * What of a host path is below the run dir, by whichever way: `/var/run` is a link to `/run`, and `/proc/1/root` leads to everything.
 * Links that somebody made elsewhere on the node are beyond this.
 */
function belowRunDir(path: string): string | undefined {
  const normal = normalizePath(path);
  return /(?:^|\/)run\/hotmount(\/.*)?$/.exec(normal) === null
    ? undefined
    : normal.replace(/^.*?(?:^|\/)run\/hotmount/, '');
}

interface OwnMount {
  readonly container: string;
  /** Normalized. */
  readonly path: string;
  readonly isPart: boolean;
}

function mountsOf(spec: JsonObject, volume: string): readonly OwnMount[] {
  return containersOf(spec).flatMap(({ name, list, index, field }) => {
    const container = objectsIn(spec, list, 'spec')[index] ?? {};
    return objectsIn(container, 'volumeMounts', field)
      .filter((mount) => mount['name'] === volume)
      .map((mount) => ({
        container: name,
        path: normalizePath(`/${stringIn(mount, 'mountPath', `${field}.volumeMounts`) ?? ''}`),
        isPart: Boolean(mount['subPath'] || mount['subPathExpr']),
      }));
  });
}

/** On a node, such a volume stays empty until the kubelet says who the pod's own users are. */
function userProblems(name: string, volume: OwnVolume, spec: JsonObject): readonly Finding[] {
  if (volume.gives !== 'media' || !volume.ownUsers || spec['hostUsers'] === false) return [];
  const problem = 'users: own is for pods with hostUsers: false, and leaves others without disks';
  return [finding('volume_attributes_invalid', { volume: name, problem })];
}

/** What annotations never give. */
function mountProblems(name: string, volume: OwnVolume, mounts: readonly OwnMount[]): readonly Finding[] {
  return mounts.flatMap(({ container, path, isPart }) => {
    const problem = volume.gives === 'dev' ? pathProblem(path) : undefined;
    return [
      ...(isPart ? [finding('volume_sub_path', { container, volume: name })] : []),
      ...(problem ? [finding('volume_mount_path', { container, volume: name, path: quote(path), problem })] : []),
    ];
  });
}
