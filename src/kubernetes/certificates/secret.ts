import type { V1Secret } from '@kubernetes/client-node';
import type { ObjectName } from '../../contract/object-name.ts';
import type { Kubernetes } from '../client.ts';
import { statusOf } from '../errors.ts';
import type { readConfigurations } from './ca-bundle.ts';

/** A webhook configuration, which owns the Secret. */
type Owner = Awaited<ReturnType<typeof readConfigurations>>[number];

export const secretsOf = ({ namespace }: ObjectName): string => `/api/v1/namespaces/${namespace}/secrets`;

/** @returns undefined where there is none. @throws what the API server refused */
export async function readSecret(kubernetes: Kubernetes, secret: ObjectName): Promise<V1Secret | undefined> {
  try {
    return await kubernetes.ask<V1Secret>(`${secretsOf(secret)}/${secret.name}`);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** Over the version that was read, or none: else the API server answers with a conflict. */
export const writeSecret = (kubernetes: Kubernetes, target: ObjectName, secret: V1Secret): Promise<V1Secret> =>
  secret.metadata?.resourceVersion === undefined
    ? kubernetes.ask(secretsOf(target), { method: 'POST', body: secret })
    : kubernetes.ask(`${secretsOf(target)}/${target.name}`, { method: 'PUT', body: secret });

/** It goes with the webhook configuration when that is deleted, so that uninstalling leaves no key behind. */
export function newSecret({ namespace, name }: ObjectName, owner: Owner | undefined): V1Secret {
  const { uid, name: ownerName } = owner?.configuration.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: {
      namespace,
      name,
      labels: { 'app.kubernetes.io/managed-by': 'hotmount-webhook' },
      ...(owner &&
        uid !== undefined &&
        ownerName !== undefined && {
          ownerReferences: [
            { apiVersion: 'admissionregistration.k8s.io/v1', kind: owner.kind.kind, name: ownerName, uid },
          ],
        }),
    },
  };
}
