export const PREFIX = 'hotmount.io/';

/** What a pod can ask for, in the order in which it is decided and applied. */
export const FEATURES = [
  'privileged',
  'capabilities',
  'dev',
  'uevents',
  'lxcfs',
  'media',
  'devices',
  'live',
  'propagation',
] as const;
export type Feature = (typeof FEATURES)[number];

export const isFeature = (name: string): name is Feature => (FEATURES as readonly string[]).includes(name);

/** Annotations that say how the features apply, rather than asking for one. */
export const INJECT = `${PREFIX}inject`;
export const CONTAINERS = `${PREFIX}containers`;
export const SCHEDULE = `${PREFIX}schedule`;

/** A node's label, and its extended resource, for a class of which something is plugged in there. */
export const classKey = (className: string): string => `${PREFIX}${className}`;

/** Written by the webhook: what the pod has through hotmount. */
export const STATUS = `${PREFIX}status`;
/** Written by the webhook on a pod template: the workload's own annotations, as JSON. */
export const FROM_WORKLOAD = `${PREFIX}from-workload`;

/** The namespace label by which a cluster's admin lets policy defaults reach a namespace. */
export const DEFAULTS_LABEL = 'hotmount.io/defaults';
export const DEFAULTS_ENABLED = 'enabled';

/** Kubernetes: the part of an annotation key after the prefix (apimachinery validation.IsQualifiedName). */
export const MAX_KEY_NAME = 63;
