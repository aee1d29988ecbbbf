import type { ObjectName } from '../../contract/object-name.ts';

/** Names by which a client on this machine reaches a server on it. */
export const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1'] as const;

/** The names that a Service has inside the cluster. The API server asks for `NAME.NAMESPACE.svc`. */
export const serviceNames = ({ namespace, name }: ObjectName): string[] => [
  `${name}.${namespace}.svc`,
  `${name}.${namespace}.svc.cluster.local`,
  `${name}.${namespace}`,
];
