import type { Logger } from '../../observability/logger.ts';
import { type Kubernetes, statusOf } from '../client.ts';

/** Of the objects, only what is read here: the two kinds of configuration are alike in it. */
export interface Configuration {
  readonly metadata?: { readonly name?: string; readonly uid?: string; readonly resourceVersion?: string };
  readonly webhooks?: ReadonlyArray<{ readonly name: string; readonly clientConfig: { readonly caBundle?: string } }>;
}

export interface Kind {
  readonly kind: 'MutatingWebhookConfiguration' | 'ValidatingWebhookConfiguration';
  read(kubernetes: Kubernetes, name: string): Promise<Configuration>;
  patch(kubernetes: Kubernetes, name: string, body: object[]): Promise<unknown>;
}

export const KINDS: readonly Kind[] = [
  {
    kind: 'MutatingWebhookConfiguration',
    read: ({ admission }, name) => admission.readMutatingWebhookConfiguration({ name }),
    patch: ({ admission }, name, body) => admission.patchMutatingWebhookConfiguration({ name, body }),
  },
  {
    kind: 'ValidatingWebhookConfiguration',
    read: ({ admission }, name) => admission.readValidatingWebhookConfiguration({ name }),
    patch: ({ admission }, name, body) => admission.patchValidatingWebhookConfiguration({ name, body }),
  },
];

/** The configurations of that name that there are. Rejects where the API server cannot be asked. */
export async function readConfigurations(
  kubernetes: Kubernetes,
  name: string,
): Promise<Array<{ readonly kind: Kind; readonly configuration: Configuration }>> {
  const found = await Promise.all(
    KINDS.map(async (kind) => {
      try {
        return [{ kind, configuration: await kind.read(kubernetes, name) }];
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
 * Secret, was faster, this rejects with a conflict, and a new look decides.
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
  await kind.patch(kubernetes, metadata?.name ?? '', [
    { op: 'test', path: '/metadata/resourceVersion', value: metadata?.resourceVersion },
    // The order of the webhooks may have changed; the resource version says that it has not since it was read.
    ...wrong.map(({ index }) => ({ op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value })),
  ]);
  log.info({ kind: kind.kind, webhooks: wrong.map(({ name }) => name) }, 'wrote the caBundle');
}

const decode = (base64: string | undefined): string => Buffer.from(base64 ?? '', 'base64').toString();
