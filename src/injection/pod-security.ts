import type { Labels } from '../contract/json.ts';
import { type Finding, finding } from '../contract/reasons.ts';
import type { Exposure } from './features/index.ts';

type Level = Exposure['level'];

/** Admission's own label (https://kubernetes.io/docs/concepts/security/pod-security-admission/). */
const ENFORCE_LABEL = 'pod-security.kubernetes.io/enforce';

/** The level that the namespace is known to enforce. Without the label, the cluster's default does, which nobody can tell us. */
const enforced = (labels: Labels | undefined): string | undefined => labels?.[ENFORCE_LABEL];

/** Whether the namespace is known to enforce a level. */
export const isPodSecurityEnforced = (labels: Labels | undefined): boolean => enforced(labels) !== undefined;

/** `restricted` forbids what `baseline` does, too. */
const forbids = (level: string | undefined, exposure: Exposure): boolean =>
  level === 'restricted' || (level === 'baseline' && exposure.level === 'baseline');

/** That the namespace's Pod Security level would reject a pod with these fields; undefined where it is not known to. */
export function forbiddenByPodSecurity(
  exposures: readonly Exposure[],
  namespace: string,
  labels: Labels | undefined,
): Finding | undefined {
  const level = enforced(labels);
  const exposure = exposures.find((e) => forbids(level, e));
  return exposure && finding('pod_security_forbids', { namespace, level: level ?? '', field: exposure.field });
}

/** A warning for each level that the fields break, unless the namespace is known to allow them. */
export function podSecurityWarnings(
  exposures: readonly Exposure[],
  namespace: string,
  labels: Labels | undefined,
): readonly Finding[] {
  const level = enforced(labels);
  const matter = (exposure: Exposure) => level === undefined || forbids(level, exposure);
  // What 20 mounts have in common is said, and looked at, once.
  const distinct = [...new Set(exposures)];
  return (['baseline', 'restricted'] as const).flatMap((broken: Level) => {
    const fields = distinct.filter((e) => e.level === broken && matter(e)).map(({ field }) => field);
    if (fields.length === 0) return [];
    const consequence =
      level === undefined
        ? `: a namespace or cluster that enforces it rejects the pod (label the namespace ${ENFORCE_LABEL}=privileged)`
        : `: namespace ${namespace} enforces ${level} and will reject the pod; label it ${ENFORCE_LABEL}=privileged, or run the pod elsewhere`;
    return finding('pod_security', { level: broken, fields: [...new Set(fields)].join(', '), consequence });
  });
}
