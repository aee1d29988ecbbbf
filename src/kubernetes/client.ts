import type { KubeConfig } from '@kubernetes/client-node';
import { KubernetesError } from './errors.ts';
import { loadKubeconfig } from './kubeconfig.ts';
import { askApi, type RestRequest } from './rest.ts';

/** A way to an API server, with the rights of its user. */
export interface Kubernetes {
  readonly config: KubeConfig;
  /** @throws ApiError where it is refused, Error where there is no answer in time */
  ask<T>(path: string, request?: Omit<RestRequest, 'signal'>): Promise<T>;
}

/** How long one request may take, in milliseconds. Watches have their own limits. */
const REQUEST_MS = 10_000;

/**
 * Reads how the API server is reached: `KUBECONFIG`, `~/.kube/config`, or the service account of the pod.
 *
 * Throws KubernetesError where there is none of these. No request is made.
 */
export async function connectKubernetes(): Promise<Kubernetes> {
  const config = await loadKubeconfig();
  const cluster = config.getCurrentCluster();
  // What the library assumes where it finds nothing.
  if (!cluster || cluster.server === 'http://localhost:8080') {
    throw new KubernetesError(
      'no API server is known: run in a pod with a service account token, or set KUBECONFIG to a kubeconfig file',
    );
  }
  return {
    config,
    ask: (path, request = {}) => askApi(config, path, { ...request, signal: AbortSignal.timeout(REQUEST_MS) }),
  };
}
