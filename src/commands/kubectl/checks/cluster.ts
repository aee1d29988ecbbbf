import { DRIVER } from '../../../contract/volumes.ts';
import { type CheckFinding, type Facts, ok } from './finding.ts';

/** Whether the CSIDriver is there, as the chart has made it. */
export function driverIsThere({ driver }: Facts): CheckFinding[] {
  const check = 'CSI driver';
  if (driver === undefined) return [{ severity: 'unknown', check, message: 'you may not read CSIDriver objects' }];
  const remedy = 'helm upgrade puts it back';
  if (driver === null)
    return [
      { severity: 'error', check, message: `there is no CSIDriver ${DRIVER}: no pod gets a volume of it`, remedy },
    ];
  if (driver.spec.podInfoOnMount !== true || !driver.spec.volumeLifecycleModes?.includes('Ephemeral')) {
    const message = `somebody has changed the CSIDriver ${DRIVER}: it needs podInfoOnMount and the mode Ephemeral`;
    return [{ severity: 'error', check, message, remedy }];
  }
  return ok(check, `the CSIDriver ${DRIVER} is as it should be`);
}

/** Whether each kubelet knows the driver. */
export function registered({ csiNodes, reports }: Facts): CheckFinding[] {
  const check = 'CSI registration';
  if (!csiNodes) return [{ severity: 'unknown', check, message: 'you may not read CSINode objects' }];
  const drivers = new Map(csiNodes.map(({ metadata, spec }) => [metadata?.name, spec.drivers.map(({ name }) => name)]));
  const missing = reports.filter(({ node, status }) => status?.csi && !drivers.get(node)?.includes(DRIVER));
  if (missing.length === 0) return ok(check, 'the kubelet of each node has registered the driver');
  const remedy = 'is the chart’s kubeletDir the kubelet’s --root-dir? Pods with volumes of hotmount’s wait there';
  return missing.map(({ node }) => ({
    severity: 'error' as const,
    check,
    message: `${node}: the kubelet has not registered ${DRIVER}`,
    remedy,
  }));
}

/** Whether all nodes have the policy that is to be in force. */
export function samePolicy({ policy, reports }: Facts): CheckFinding[] {
  const check = 'policy';
  if (!policy) return [{ severity: 'unknown', check, message: 'you may not read the ConfigMap of the policy' }];
  const findings = reports.flatMap(({ node, status }): CheckFinding[] => {
    if (status?.policy.problem) {
      const message = `${node}: the policy in force is an older one: ${status.policy.problem}`;
      const [namespace, name] = policy.configMap.split('/');
      const remedy = `mend it in the chart's values, and helm upgrade; until then, kubectl edit configmap ${name} -n ${namespace} does, and the next helm upgrade undoes that`;
      return [{ severity: 'error', check, message, remedy }];
    }
    if (!status || status.policy.digest === policy.digest) return [];
    const message = `${node}: has the policy ${status.policy.digest}, and ${policy.configMap} is ${policy.digest}`;
    return [
      {
        severity: 'warning',
        check,
        message,
        remedy: 'kubelets update it within a minute or so; else its log says why not',
      },
    ];
  });
  return findings.length > 0 ? findings : ok(check, `the same everywhere: ${policy.digest} of ${policy.configMap}`);
}

const ENFORCE = 'pod-security.kubernetes.io/enforce';

/** Whether the node's pods may be as privileged as they are. */
export function podSecurity({ namespaces, systemNamespace }: Facts): CheckFinding[] {
  const check = 'Pod Security';
  const own = namespaces?.find(({ metadata }) => metadata?.name === systemNamespace);
  if (!own) return [{ severity: 'unknown', check, message: `you may not read the namespace ${systemNamespace}` }];
  const level = own.metadata?.labels?.[ENFORCE];
  if (level === 'privileged') return ok(check, `${systemNamespace} may have the node's privileged pods`);
  return [
    {
      severity: level === undefined ? 'warning' : 'error',
      check,
      message: `${systemNamespace} ${level === undefined ? 'has no Pod Security level: where the cluster’s default is another, it' : `enforces ${level}, which`} rejects the node's privileged pods`,
      remedy: `kubectl label --overwrite namespace ${systemNamespace} ${ENFORCE}=privileged`,
    },
  ];
}
