import type * as k8s from '@kubernetes/client-node';

/** The parts of the Kubernetes API that the webhook uses. */
export interface Kubernetes {
  readonly library: typeof k8s;
  readonly config: k8s.KubeConfig;
  readonly core: k8s.CoreV1Api;
  readonly admission: k8s.AdmissionregistrationV1Api;
}

/** There is no way to an API server; the message says what to give. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError';
}

/** How long one request may take, in milliseconds. Watches have their own limits. */
const REQUEST_MS = 10_000;

/**
 * Reads how the API server is reached: `KUBECONFIG`, `~/.kube/config`, or the service account of the pod. The library costs half a
 * second and 60 MB, so this is the one place that imports it, and only the modes that need a cluster come here.
 *
 * Throws KubernetesError where there is none of these. No request is made.
 */
export async function connectKubernetes(): Promise<Kubernetes> {
  const library = await import('@kubernetes/client-node');
  const config = new library.KubeConfig();
  try {
    config.loadFromDefault();
  } catch (error) {
    throw new KubernetesError(`the kubeconfig cannot be used: ${(error as Error).message}`);
  }
  const cluster = config.getCurrentCluster();
  // What the library assumes where it finds nothing.
  if (!cluster || cluster.server === 'http://localhost:8080') {
    throw new KubernetesError(
      'no API server is known: run in a pod with a service account token, or set KUBECONFIG to a kubeconfig file',
    );
  }
  const configuration = library.createConfiguration({
    baseServer: new library.ServerConfiguration(cluster.server, {}),
    authMethods: { default: config },
    promiseMiddleware: [
      {
        async pre(request) {
          request.setSignal(AbortSignal.timeout(REQUEST_MS));
          return request;
        },
        post: async (response) => response,
      },
    ],
  });
  return {
    library,
    config,
    core: new library.CoreV1Api(configuration),
    admission: new library.AdmissionregistrationV1Api(configuration),
  };
}

/** The HTTP status of a refused request; undefined for what never got an answer. */
export function statusOf(error: unknown): number | undefined {
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  // A DOMException, such as a timeout, has a small one of its own.
  if (typeof code === 'number' && code >= 100) return code;
  return typeof statusCode === 'number' ? statusCode : undefined;
}

/** Why a request failed, in one line: the API server's own words where there are any. */
export function problemOf(error: unknown): string {
  const { body, message, cause } = error as { body?: unknown; message?: string; cause?: unknown };
  const status = statusOf(error);
  if (status !== undefined) return `${messageIn(body) ?? message?.split('\n')[0] ?? 'refused'} (${status})`;
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return [message ?? String(error), code ?? inner].filter(Boolean).join(': ');
}

function messageIn(body: unknown): string | undefined {
  try {
    const status = typeof body === 'string' ? JSON.parse(body) : body;
    return typeof status?.message === 'string' ? status.message : undefined;
  } catch {
    return undefined;
  }
}
