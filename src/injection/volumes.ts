import { type Finding, finding } from '../contract/reasons.ts';
import { didYouMeanOr, quote } from '../contract/suggest.ts';
import { OWN_VOLUME } from '../contract/volumes.ts';
import type { ContainerDraft } from './container-draft.ts';
import type { Ask } from './intent.ts';
import type { PodDraft } from './pod-draft.ts';
import { stringIn } from './shape.ts';

/**
 * Leaves out what asks for the propagation of a volume in containers that do not mount it, and says so where none does. A volume that
 * only volumeMounts name counts as one of the pod: a StatefulSet's volumeClaimTemplates are not in its template.
 */
export function onMountedVolumes(
  asks: readonly Ask[],
  draft: PodDraft,
): { asks: readonly Ask[]; findings: readonly Finding[] } {
  if (!asks.some(({ want }) => want.feature === 'propagation')) return { asks, findings: [] };

  const mounted = new Map([...draft.containers].map((container) => [container.container, volumesOf(container)]));
  const known = new Set([...draft.volumeNames, ...[...mounted.values()].flatMap((names) => [...names])]);

  const isMounted = ({ want, container }: Ask) =>
    want.feature !== 'propagation' ||
    (!want.volume.startsWith(OWN_VOLUME) && mounted.get(container)?.has(want.volume) === true);
  const kept = asks.filter(isMounted);
  const found = new Set(kept.map(keyOf));
  // A default is for the pods that have such a volume.
  const missed = asks.filter((ask) => ask.defaultOf === undefined && !isMounted(ask) && !found.has(keyOf(ask)));
  const byVolume = new Map(missed.map((ask) => [keyOf(ask), ask]));
  return { asks: kept, findings: [...byVolume.values()].slice(0, MAX_FINDINGS).map((ask) => notMounted(ask, known)) };
}

/** Each costs a comparison with the names in the pod. */
const MAX_FINDINGS = 10;

function notMounted({ annotation, want }: Ask, known: ReadonlySet<string>): Finding {
  const name = want.feature === 'propagation' ? want.volume : '';
  const volume = quote(name);
  if (name.startsWith(OWN_VOLUME)) return finding('own_volume', { annotation, volume });
  if (known.has(name)) return finding('volume_not_mounted', { annotation, volume });
  return finding('volume_not_found', { annotation, volume, hint: didYouMeanOr(name, [...known]) });
}

function volumesOf({ container, mounts }: ContainerDraft): ReadonlySet<string> {
  return new Set(mounts.flatMap((mount) => stringIn(mount, 'name', `${container.field}.volumeMounts`) ?? []));
}

const keyOf = ({ annotation, want }: Ask): string =>
  `${annotation}=${want.feature === 'propagation' ? want.volume : ''}`;
