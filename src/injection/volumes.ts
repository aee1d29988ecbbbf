import { type Finding, finding } from '../contract/reasons.ts';
import { didYouMean, quote } from '../contract/suggest.ts';
import type { ContainerDraft, PodDraft } from './draft.ts';
import type { Ask } from './intent.ts';
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
    want.feature !== 'propagation' || mounted.get(container)?.has(want.volume) === true;
  const kept = asks.filter(isMounted);
  const found = new Set(kept.map(keyOf));
  const findings = asks.flatMap((ask): Finding[] => {
    const { want, annotation } = ask;
    if (want.feature !== 'propagation' || ask.defaultOf !== undefined || found.has(keyOf(ask))) return [];
    const volume = quote(want.volume);
    if (known.has(want.volume)) return [finding('volume_not_mounted', { annotation, volume })];
    const names = [...known];
    const hint = didYouMean(want.volume, names) || `; it has ${names.slice(0, 10).join(', ') || 'none'}`;
    return [finding('volume_not_found', { annotation, volume, hint })];
  });
  return { asks: kept, findings };
}

function volumesOf({ container, mounts }: ContainerDraft): ReadonlySet<string> {
  return new Set(mounts.flatMap((mount) => stringIn(mount, 'name', `${container.field}.volumeMounts`) ?? []));
}

const keyOf = ({ annotation, want }: Ask): string =>
  `${annotation}=${want.feature === 'propagation' ? want.volume : ''}`;
