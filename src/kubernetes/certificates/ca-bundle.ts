import type { Logger } from '../../observability/logger.ts';
import type { Kubernetes } from '../client.ts';
import { statusOf } from '../errors.ts';

/** Of the objects, only what is read here: the two kinds of configuration are alike in it. */
export interface Configuration {
  readonly metadata?: { readonly name?: string; readonly uid?: string; readonly resourceVersion?: string };
  readonly webhooks?: ReadonlyArray<{ readonly name: string; readonly clientConfig: { readonly caBundle?: string } }>;
}

const API = '/apis/admissionregistration.k8s.io/v1';

export interface Kind {
  readonly kind: 'MutatingWebhookConfiguration' | 'ValidatingWebhookConfiguration';
  /** Of their list. */
  readonly path: string;
}

export const KINDS: readonly Kind[] = [
  { kind: 'MutatingWebhookConfiguration', path: `${API}/mutatingwebhookconfigurations` },
  { kind: 'ValidatingWebhookConfiguration', path: `${API}/validatingwebhookconfigurations` },
];

/** The configurations of that name that there are. Rejects where the API server cannot be asked. */
export async function readConfigurations(
  kubernetes: Kubernetes,
  name: string,
): Promise<Array<{ readonly kind: Kind; readonly configuration: Configuration }>> {
  const found = await Promise.all(
    KINDS.map(async (kind) => {
      try {
        return [{ kind, configuration: await kubernetes.ask<Configuration>(`${kind.path}/${name}`) }];
      } catch (error) {
        if (statusOf(error) === 404) return [];
        throw error;
      }
    }),
  );
  return found.flat();
}

/** Whether every webhook of the configuration trusts these certificates, PEM. */
export const trusts = ({ webhooks = [] }: Configuration, pem: string): boolean =>
  webhooks.every(({ clientConfig }) => decode(clientConfig.caBundle).includes(pem.trim()));

/**
 * Writes the bundle into every webhook that has another one. Only over the version that was read: where another replica, with a newer
 * Secret, was faster, this rejects with a conflict, and the next run decides.
 */
export async function writeBundle(
  kubernetes: Kubernetes,
  { kind, configuration }: { readonly kind: Kind; readonly configuration: Configuration },
  bundle: string,
  log: Logger,
): Promise<void> {
  const { metadata, webhooks = [] } = configuration;
  const value = Buffer.from(bundle).toString('base64');
  const wrong = webhooks.flatMap(({ name, clientConfig }, index) =>
    clientConfig.caBundle === value ? [] : [{ name, index }],
  );
  if (wrong.length === 0) return;
  const patch = [
    { op: 'test', path: '/metadata/resourceVersion', value: metadata?.resourceVersion },
    // The order of the webhooks may have changed; the resource version says that it has not since it was read.
    ...wrong.map(({ index }) => ({ op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value })),
  ];
  await kubernetes.ask(`${kind.path}/${metadata?.name}`, { method: 'PATCH', body: patch });
  log.info({ kind: kind.kind, webhooks: wrong.map(({ name }) => name) }, 'wrote the caBundle');
}

const decode = (base64: string | undefined): string => Buffer.from(base64 ?? '', 'base64').toString();
