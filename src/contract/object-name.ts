/** One object of a namespace. */
export interface ObjectName {
  readonly namespace: string;
  readonly name: string;
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;

/** Whether a namespace can have this name. */
export const isNamespaceName = (text: string): boolean => DNS_LABEL.test(text);

/** Reads the `NAMESPACE/NAME` of a Service; undefined where it is anything else. */
export const parseServiceName = (text: string): ObjectName | undefined => parseName(text, DNS_LABEL);

/** Reads the `NAMESPACE/NAME` of an object, whose name may have dots in it; undefined where it is anything else. */
export const parseObjectName = (text: string): ObjectName | undefined => parseName(text, DNS_SUBDOMAIN);

function parseName(text: string, pattern: RegExp): ObjectName | undefined {
  const [namespace, name, ...rest] = text.split('/');
  if (!namespace || !name || rest.length > 0 || !isNamespaceName(namespace) || !pattern.test(name)) return undefined;
  return { namespace, name };
}
