/** The webhook's life in a cluster: policy, labels and certificates from the Kubernetes API. */
export { keepCertificates } from './certificates/keeper.ts';
export { connectKubernetes, type Kubernetes } from './client.ts';
export { openNamespaceLabels } from './namespace-labels.ts';
export { openPolicyConfigMap } from './policy-config-map.ts';
