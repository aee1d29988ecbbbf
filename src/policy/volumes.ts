import { type Finding, finding } from '../contract/reasons.ts';
import { didYouMeanOr, quote } from '../contract/suggest.ts';
import { type OwnVolume, volumeName } from '../contract/volumes.ts';
import { DEFAULT_DEV_PATH, type Want } from '../contract/wants.ts';
import { allowedBy, type MatchingRules, type Subject } from './evaluate.ts';
import type { Policy, Rule } from './policy.ts';
import { notAllowed, rulesByAccount } from './wants.ts';

/** What is asked about a hotmount volume, whoever wrote it. */
export interface VolumeQuestion {
  readonly volume: OwnVolume;
  /** Its name in the pod, for the message; undefined: what hotmount would call it. */
  readonly name?: string | undefined;
  /** Where containers have the node's /dev by it; undefined: not known, and any path may be meant. */
  readonly devPaths?: readonly string[] | undefined;
}

/** Whether the rules let a pod have the volume: all of these things, each by any of its ways. */
function allowed(rules: readonly Rule[], { volume, devPaths }: VolumeQuestion): boolean {
  if (volume.gives === 'dev') {
    // A udevd of the container's own needs no further permission for the alias that it brings along.
    if (allowedBy(rules, { feature: 'uevents', access: 'udevd' })) return true;
    return devPaths === undefined
      ? rules.some(({ allow }) => allow.dev.length > 0)
      : devPaths.every((path) => allowedBy(rules, { feature: 'dev', path }) !== undefined);
  }
  return allowedBy(rules, wantOf(volume)) !== undefined;
}

/** What an annotation would ask for to have the volume. Paths and the like that do not decide are left out. */
function wantOf(volume: OwnVolume, devPaths: readonly string[] = []): Want {
  switch (volume.gives) {
    case 'media':
      return { feature: 'media', class: volume.class, path: '', readOnly: volume.readOnly };
    case 'devices':
      return { feature: 'devices', class: volume.class, path: '' };
    case 'lxcfs':
      return { feature: 'lxcfs', views: [volume.view] };
    case 'dev':
      return { feature: 'dev', path: devPaths[0] ?? DEFAULT_DEV_PATH };
    case 'udev':
      return { feature: 'uevents', access: 'udev' };
    case 'live':
      return { feature: 'live', path: '' };
  }
}

/**
 * Why the policy does not give a pod the volume, in the words in which it denies an annotation; undefined where it does, and
 * `undecided` where that turns on labels of the namespace that are not known.
 */
export function volumeRefusal(
  policy: Policy,
  { matching, undecided }: MatchingRules,
  subject: Subject,
  question: VolumeQuestion,
): Finding | 'undecided' | undefined {
  const { volume } = question;
  const name = `volume ${question.name ?? volumeName(volume)}`;
  if (volume.gives === 'media' || volume.gives === 'devices') {
    const known = (volume.gives === 'media' ? policy.mediaClasses : policy.deviceClasses).map(({ name }) => name);
    if (!known.includes(volume.class)) {
      const what = `the ${volume.gives === 'media' ? 'media' : 'device'} class ${quote(volume.class)}`;
      return finding('volume_class_unknown', { volume: name, what, hint: didYouMeanOr(volume.class, known) });
    }
  }
  if (allowed(matching, question)) return undefined;
  if (allowed([...matching, ...undecided], question)) return 'undecided';
  const want = wantOf(volume, question.devPaths);
  const what = 'path' in want ? want.path : 'access' in want ? want.access : '';
  return notAllowed(policy, subject, { annotation: name, want, what });
}

/** The same where only the pod's namespace and service account are known, as on a node. */
export function volumeRefusalByAccount(
  policy: Policy,
  pod: Pick<Subject, 'namespace' | 'serviceAccount'>,
  question: VolumeQuestion,
): Finding | undefined {
  const { rules, subject } = rulesByAccount(policy, pod);
  const refusal = volumeRefusal(policy, rules, subject, question);
  return refusal === 'undecided' ? undefined : refusal;
}
