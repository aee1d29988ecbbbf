import { type ObjectName, parseObjectName, parseServiceName } from '../../contract/object-name.ts';
import type { VolumeKind } from '../../contract/volumes.ts';
import type { LogLevel } from '../../observability/log-levels.ts';
import { UsageError } from '../fail.ts';
import { readNumber, readPort } from '../flags.ts';

/** As commander gives them. */
export interface Flags {
  policy?: string;
  policyConfigmap?: string;
  tlsCert?: string;
  tlsKey?: string;
  tlsSelfSigned?: true;
  tlsClientCa?: string;
  tlsClientNames?: string;
  tlsSecret?: string;
  service?: string;
  caFile?: string;
  webhookConfiguration?: string;
  caOverlapSeconds: string;
  volumes: VolumeKind;
  host: string;
  port: string;
  metricsPort: string;
  healthPort?: string;
  logLevel: LogLevel;
  drainSeconds: string;
}

/** Where the serving certificate comes from. */
export type Tls =
  | { readonly from: 'files'; readonly cert: string; readonly key: string }
  | { readonly from: 'self'; readonly service: ObjectName | undefined; readonly caFile: string | undefined }
  | {
      readonly from: 'secret';
      readonly secret: ObjectName;
      readonly service: ObjectName;
      readonly webhookConfiguration: string | undefined;
      readonly caOverlapSeconds: number;
    };

export type PolicyFrom =
  | { readonly from: 'built-in' }
  | { readonly from: 'file'; readonly file: string }
  | { readonly from: 'config map'; readonly configMap: ObjectName };

/** The flags, checked. */
export interface Settings {
  readonly policy: PolicyFrom;
  readonly tls: Tls;
  /** Who is let in; undefined: everybody. */
  readonly clients: { readonly ca: string; readonly names: readonly string[] } | undefined;
  readonly volumes: VolumeKind;
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly healthPort: number | undefined;
  readonly logLevel: LogLevel;
  readonly drainSeconds: number;
}

/** Throws UsageError. */
export function readSettings(flags: Flags): Settings {
  const settings = {
    policy: readPolicy(flags),
    tls: readTls(flags),
    clients: readClients(flags),
    volumes: flags.volumes,
    host: flags.host,
    port: readPort('--port', flags.port),
    metricsPort: readPort('--metrics-port', flags.metricsPort),
    healthPort: flags.healthPort === undefined ? undefined : readPort('--health-port', flags.healthPort),
    logLevel: flags.logLevel,
    drainSeconds: readNumber('--drain-seconds', flags.drainSeconds, { max: 3_600 }),
  };
  checkPorts({
    '--port': settings.port,
    '--metrics-port': settings.metricsPort,
    '--health-port': settings.healthPort,
  });
  return settings;
}

function checkPorts(ports: Record<string, number | undefined>): void {
  const takenBy = new Map<number, string>();
  for (const [option, port] of Object.entries(ports)) {
    if (!port) continue;
    const other = takenBy.get(port);
    if (other) throw new UsageError(`${other} and ${option} are both ${port}: they need one each`);
    takenBy.set(port, option);
  }
}

function readPolicy({ policy, policyConfigmap }: Flags): PolicyFrom {
  if (policyConfigmap !== undefined) {
    if (policy !== undefined) throw new UsageError('--policy or --policy-configmap: choose one of them');
    return { from: 'config map', configMap: readObjectName('--policy-configmap', policyConfigmap) };
  }
  return policy === undefined ? { from: 'built-in' } : { from: 'file', file: policy };
}

function readClients({ tlsClientCa: ca, tlsClientNames = '' }: Flags): Settings['clients'] {
  const names = tlsClientNames
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  if (ca !== undefined) return { ca, names };
  if (names.length > 0) {
    throw new UsageError('--tls-client-names without --tls-client-ca: give the CA that signs their certificates, too');
  }
  return undefined;
}

function readTls(flags: Flags): Tls {
  const { tlsCert, tlsKey, tlsSelfSigned, tlsSecret, service, caFile, webhookConfiguration } = flags;
  if (tlsSecret === undefined && webhookConfiguration !== undefined) {
    throw new UsageError(
      '--webhook-configuration is for --tls-secret: with other certificates, their CA is not ours to tell',
    );
  }
  if (tlsSecret !== undefined) {
    if (tlsSelfSigned || tlsCert || tlsKey) {
      throw new UsageError('--tls-secret, --tls-self-signed, or --tls-cert with --tls-key: choose one of them');
    }
    if (caFile !== undefined)
      throw new UsageError('--ca-file is for --tls-self-signed: with --tls-secret, the Secret has the CA');
    if (service === undefined) throw new UsageError('--tls-secret without --service: the certificate needs its names');
    return {
      from: 'secret',
      secret: readObjectName('--tls-secret', tlsSecret),
      service: readService(service),
      webhookConfiguration,
      caOverlapSeconds: readNumber('--ca-overlap-seconds', flags.caOverlapSeconds, { min: 1, max: 86_400 }),
    };
  }
  if (tlsSelfSigned) {
    if (tlsCert || tlsKey) throw new UsageError('--tls-self-signed, or --tls-cert with --tls-key: choose one of them');
    return { from: 'self', service: service === undefined ? undefined : readService(service), caFile };
  }
  if (!tlsCert && !tlsKey) {
    throw new UsageError(
      'there is no certificate: give --tls-cert FILE and --tls-key FILE, --tls-secret in a cluster, or --tls-self-signed to try things out',
    );
  }
  if (!tlsKey) throw new UsageError('--tls-cert without --tls-key: give the file with its private key, too');
  if (!tlsCert) throw new UsageError('--tls-key without --tls-cert: give the file with its certificate, too');
  if (service !== undefined || caFile !== undefined) {
    throw new UsageError('--service and --ca-file are for --tls-self-signed: leave them out with --tls-cert');
  }
  return { from: 'files', cert: tlsCert, key: tlsKey };
}

function readService(text: string): ObjectName {
  const service = parseServiceName(text);
  if (!service) throw new UsageError(`--service ${text}: expected NAMESPACE/NAME, such as hotmount/webhook`);
  return service;
}

function readObjectName(option: string, text: string): ObjectName {
  const name = parseObjectName(text);
  if (!name) throw new UsageError(`${option} ${text}: expected NAMESPACE/NAME, such as hotmount/policy`);
  return name;
}
