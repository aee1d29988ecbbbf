import { serviceNames } from '../../admission/certificates/server-names.ts';
import type { CertificateSource, CurrentPolicy } from '../../admission/index.ts';
import type { Labels } from '../../contract/json.ts';
import {
  connectKubernetes,
  keepCertificates,
  openNamespaceLabels,
  openPolicyConfigMap,
} from '../../kubernetes/index.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Policy } from '../../policy/index.ts';
import { logNotReloaded } from '../open-policy.ts';
import type { Settings, Tls } from './settings.ts';

export type Certificates = CertificateSource | Promise<CertificateSource>;

/** What the webhook takes from the Kubernetes API. */
export interface InCluster {
  readonly policy: Promise<CurrentPolicy> | undefined;
  readonly certificates: Promise<CertificateSource> | undefined;
  namespaceLabels(namespace: string): Labels | undefined | Promise<Labels | undefined>;
  /** Aborted when the webhook configurations are gone that had API servers call this webhook; another signal where they have come back. */
  uncalled(): AbortSignal;
  /** Lets go of what the webhook does not close itself. */
  close(): void;
}

interface Listener {
  onChange(policy: Policy): void;
  onError(error: { message: string }): void;
}

/** Starts to watch what the flags name. Throws KubernetesError where no API server is known; one that is away is waited for. */
export async function joinCluster({ policy, tls }: Settings, listener: Listener, log: Logger): Promise<InCluster> {
  const logging: Listener = {
    ...listener,
    onError(error) {
      logNotReloaded(log, error);
      listener.onError(error);
    },
  };
  const kubernetes = await connectKubernetes();
  const namespaces = openNamespaceLabels(kubernetes, log);
  let uncalled = new AbortController();
  const onConfigurations = (areThere: boolean): void => {
    if (!areThere) uncalled.abort();
    else if (uncalled.signal.aborted) uncalled = new AbortController();
  };
  return {
    policy: policy.from === 'config map' ? openPolicyConfigMap(kubernetes, policy.configMap, logging, log) : undefined,
    certificates:
      tls.from === 'secret'
        ? keepCertificates(kubernetes, { ...keeperOptions(tls), onConfigurations }, log)
        : undefined,
    namespaceLabels: (namespace) => namespaces.labels(namespace),
    uncalled: () => uncalled.signal,
    close: () => namespaces.close(),
  };
}

const keeperOptions = ({ secret, service, webhookConfiguration, caOverlapSeconds }: Tls & { from: 'secret' }) => ({
  secret,
  names: serviceNames(service),
  configuration: webhookConfiguration,
  overlapMs: caOverlapSeconds * 1000,
});
