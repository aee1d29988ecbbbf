import type { V1CSIDriver, V1MutatingWebhookConfiguration } from '@kubernetes/client-node';
import { DRIVER } from '../../contract/volumes.ts';
import { statusOf } from '../../kubernetes/errors.ts';
import { UsageError } from '../fail.ts';
import type { Connection } from './connection.ts';

const FLAG = 'name its namespace by --system-namespace';

/** Whether the chart has made an object. A proof of nothing where tenants may set labels. */
export const isOfChart = (metadata: { labels?: Record<string, string> } | undefined): boolean =>
  metadata?.labels?.['helm.sh/chart']?.startsWith('hotmount-') === true;

/**
 * Where hotmount is installed: by the flag, or by objects that are in no namespace. No tenant can make those; pods that are labelled as
 * hotmount's are in any namespace.
 * @throws UsageError where it is not known, that says which right or flag helps; ApiError, Error where there is no answer
 */
export async function findSystemNamespace({ ask, systemNamespace }: Connection): Promise<string> {
  if (systemNamespace !== undefined) return systemNamespace;
  const configurations = await orRefusal(
    ask<{ items: V1MutatingWebhookConfiguration[] }>(
      '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
    ),
  );
  const services = (configurations?.items ?? [])
    .filter(({ metadata }) => isOfChart(metadata))
    .flatMap(({ webhooks = [] }) => webhooks.flatMap(({ clientConfig }) => clientConfig.service?.namespace ?? []));
  const found = [...new Set(services)];
  if (found.length > 1) throw new UsageError(`hotmount is installed in ${found.join(' and ')}: ${FLAG}`);
  if (found[0] !== undefined) return found[0];
  const driver = await orRefusal(ask<V1CSIDriver>(`/apis/storage.k8s.io/v1/csidrivers/${DRIVER}`));
  const release = driver?.metadata?.annotations?.['meta.helm.sh/release-namespace'];
  if (release !== undefined) return release;
  if (configurations === undefined) {
    throw new UsageError(
      `where hotmount is installed may not be seen by you: it takes the right to list mutatingwebhookconfigurations, or to get the csidriver ${DRIVER}; or ${FLAG}`,
    );
  }
  throw new UsageError(`hotmount has no webhook configuration: is the chart installed (helm list -A)? If so, ${FLAG}`);
}

/** Undefined where it is refused, null where it is not there. */
async function orRefusal<T>(answer: Promise<T>): Promise<T | null | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (statusOf(error) === 403) return undefined;
    if (statusOf(error) === 404) return null;
    throw error;
  }
}
