/** Names by which a client on this machine reaches a server on it. */
export const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1'] as const;

/** One object of a namespace. */
export interface ObjectName {
  readonly namespace: string;
  readonly name: string;
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/** Reads the `NAMESPACE/NAME` of a Service; undefined where it is anything else. */
export const parseServiceName = (text: string): ObjectName | undefined => parseName(text, DNS_LABEL);

/** Reads the `NAMESPACE/NAME` of an object, whose name may have dots in it; undefined where it is anything else. */
export const parseObjectName = (text: string): ObjectName | undefined => parseName(text, DNS_SUBDOMAIN);

function parseName(text: string, pattern: RegExp): ObjectName | undefined {
  const [namespace, name, ...rest] = text.split('/');
  if (!namespace || !name || rest.length > 0 || !DNS_LABEL.test(namespace) || !pattern.test(name)) return undefined;
  return { namespace, name };
}

/** The names that a Service has inside the cluster. The API server asks for `NAME.NAMESPACE.svc`. */
export const serviceNames = ({ namespace, name }: ObjectName): string[] => [
  `${name}.${namespace}.svc`,
  `${name}.${namespace}.svc.cluster.local`,
  `${name}.${namespace}`,
];
