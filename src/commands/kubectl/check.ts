import { X509Certificate } from 'node:crypto';
import type { V1CSIDriver, V1CSINode, V1Namespace, V1Pod } from '@kubernetes/client-node';
import type { Colors } from 'picocolors/types.ts';
import { DRIVER } from '../../contract/volumes.ts';
import { fold } from '../table.ts';
import type { NodeReport } from './daemons.ts';

/** What `kubectl hotmount check -o json` prints. Fields may be added; those that are here stay. */
export interface CheckReport {
  readonly apiVersion: 'hotmount.io/v1alpha1';
  readonly kind: 'CheckReport';
  readonly findings: readonly CheckFinding[];
}

export interface CheckFinding {
  /** `unknown`: its user may not see what would tell. */
  readonly severity: 'ok' | 'warning' | 'error' | 'unknown';
  readonly check: string;
  readonly message: string;
  /** What to do; left out where nothing is to be done. */
  readonly remedy?: string;
}

/** What may not be seen, or is not there, is undefined. */
export interface Facts {
  readonly systemNamespace: string;
  readonly webhookPods: readonly V1Pod[];
  /** By kind. Each is the `clientConfig.caBundle` of all its webhooks. */
  readonly caBundles: ReadonlyMap<string, readonly (string | undefined)[]> | undefined;
  /** What came of creating a pod that asks, as a dry run. */
  readonly dryRun: { readonly admitted: boolean } | { readonly refused: string; readonly code: number | undefined };
  readonly driver: V1CSIDriver | null | undefined;
  readonly csiNodes: readonly V1CSINode[] | undefined;
  readonly reports: readonly NodeReport[];
  readonly policy: { readonly configMap: string; readonly digest: string } | undefined;
  readonly namespaces: readonly V1Namespace[] | undefined;
  readonly now: Date;
}

/** Judges an installation: each finding that is not ok says what to do. */
export const judge = (facts: Facts): CheckFinding[] =>
  [
    webhookRuns,
    webhookAnswers,
    caIsKnown,
    driverIsThere,
    daemonsAnswer,
    registered,
    samePolicy,
    lxcfsServes,
    kernels,
    podSecurity,
  ].flatMap((check) => check(facts));

const ok = (check: string, message: string): CheckFinding[] => [{ severity: 'ok', check, message }];

function webhookRuns({ webhookPods, systemNamespace }: Facts): CheckFinding[] {
  const check = 'webhook runs';
  const isReady = (pod: V1Pod): boolean => pod.status?.containerStatuses?.every(({ ready }) => ready) ?? false;
  const ready = webhookPods.filter(isReady).length;
  const message = `${ready} of ${webhookPods.length} webhook pods are ready`;
  if (ready > 0 && ready === webhookPods.length) return ok(check, message);
  const remedy = `kubectl describe pods, and kubectl logs, -n ${systemNamespace} -l app.kubernetes.io/component=webhook say why`;
  return [{ severity: ready > 0 ? 'warning' : 'error', check, message, remedy }];
}

/** What API servers say where they cannot ask a webhook (apiserver pkg/admission/plugin/webhook). */
const UNASKED = /failed calling webhook/;

function webhookAnswers({ dryRun }: Facts): CheckFinding[] {
  const check = 'webhook answers';
  if ('admitted' in dryRun) {
    if (dryRun.admitted) return ok(check, 'the API server has asked it about a pod, as a dry run');
    const message = 'a pod that asks, created as a dry run, was not shown to it';
    const remedy =
      'is the namespace among webhook.excludedNamespaces? Try -n with another; else helm upgrade puts the webhook configuration back';
    return [{ severity: 'error', check, message, remedy }];
  }
  if (UNASKED.test(dryRun.refused)) {
    const remedy =
      'the end of the message says why: docs/troubleshooting.md, failed calling webhook. Annotated pods wait until it answers';
    return [{ severity: 'error', check, message: dryRun.refused, remedy }];
  }
  // A denial is an answer.
  if (/admission webhook ".*hotmount\.io" denied/.test(dryRun.refused)) return ok(check, 'it has answered, and denied');
  return [{ severity: 'unknown', check, message: `no pod could be created to see, as a dry run: ${dryRun.refused}` }];
}

const SOON = 7 * 86_400_000;

function caIsKnown({ caBundles, now }: Facts): CheckFinding[] {
  const check = 'certificates';
  if (!caBundles) return [{ severity: 'unknown', check, message: 'you may not read the webhook configurations' }];
  return [...caBundles].flatMap(([kind, bundles]): CheckFinding[] => {
    if (bundles.length === 0) {
      return [
        {
          severity: 'error',
          check,
          message: `there is no ${kind} of hotmount's: no pod is ever shown to it`,
          remedy: 'helm upgrade puts it back',
        },
      ];
    }
    if (bundles.some((bundle) => !bundle)) {
      const remedy =
        'the webhook writes it (its log says why not); with certificates of your own, set caBundle: docs/install.md';
      return [{ severity: 'error', check, message: `${kind} has no caBundle`, remedy }];
    }
    const ends = bundles.flatMap((bundle) => endOf(bundle ?? ''));
    if (ends.length < bundles.length) {
      return [
        {
          severity: 'error',
          check,
          message: `the caBundle of ${kind} is no certificate`,
          remedy: 'helm upgrade puts it right',
        },
      ];
    }
    const end = new Date(Math.min(...ends));
    const day = end.toISOString().slice(0, 10);
    if (end.getTime() - now.getTime() > SOON) return ok(check, `the caBundle of ${kind} is valid until ${day}`);
    const remedy = 'the webhook renews its own (its log says why not); renew those of your own';
    return [{ severity: 'error', check, message: `the caBundle of ${kind} ends on ${day}`, remedy }];
  });
}

/** The latest end of those in a bundle: an old CA beside a new one is no fault. */
function endOf(bundle: string): number[] {
  const pems = Buffer.from(bundle, 'base64')
    .toString()
    .match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  try {
    return pems ? [Math.max(...pems.map((pem) => Date.parse(new X509Certificate(pem).validTo)))] : [];
  } catch {
    return [];
  }
}

function driverIsThere({ driver }: Facts): CheckFinding[] {
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

function daemonsAnswer({ reports }: Facts): CheckFinding[] {
  const check = 'node daemons';
  const findings = reports.flatMap(({ node, status, problem }): CheckFinding[] => {
    const wrong = problem ?? (status?.daemon.ready ? undefined : (status?.daemon.problem ?? 'not ready'));
    if (wrong === undefined) return [];
    const remedy = 'kubectl get pods -o wide shows the pod of that node, and kubectl logs of it says more';
    return [{ severity: 'error', check, message: `${node}: ${wrong}`, remedy }];
  });
  return findings.length > 0 ? findings : ok(check, `all ${reports.length} answer, and are ready`);
}

function registered({ csiNodes, reports }: Facts): CheckFinding[] {
  const check = 'CSI registration';
  if (!csiNodes) return [{ severity: 'unknown', check, message: 'you may not read CSINode objects' }];
  const drivers = new Map(csiNodes.map(({ metadata, spec }) => [metadata?.name, spec.drivers.map(({ name }) => name)]));
  const missing = reports.filter(({ node, status }) => status?.csi && !drivers.get(node)?.includes(DRIVER));
  if (missing.length === 0) return ok(check, 'each node with a driver has it registered');
  const remedy = 'is the chart’s kubeletDir the kubelet’s --root-dir? Pods with volumes of hotmount’s wait there';
  return missing.map(({ node }) => ({
    severity: 'error' as const,
    check,
    message: `${node}: the kubelet has not registered ${DRIVER}`,
    remedy,
  }));
}

function samePolicy({ policy, reports }: Facts): CheckFinding[] {
  const check = 'policy';
  if (!policy) return [{ severity: 'unknown', check, message: 'you may not read the ConfigMap of the policy' }];
  const findings = reports.flatMap(({ node, status }): CheckFinding[] => {
    if (status?.policy.problem) {
      const message = `${node}: the policy in force is an older one: ${status.policy.problem}`;
      return [
        {
          severity: 'error',
          check,
          message,
          remedy: `mend it: kubectl edit configmap ${policy.configMap.split('/')[1]}`,
        },
      ];
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

function lxcfsServes({ reports }: Facts): CheckFinding[] {
  const check = 'lxcfs';
  const wanted = reports.filter(({ status }) => status?.lxcfs);
  const findings = wanted.flatMap(({ node, status }): CheckFinding[] => {
    const lxcfs = status?.lxcfs;
    const remedy = 'docs/troubleshooting.md, and the log of the lxcfs pod of that node';
    if (!lxcfs || !('instances' in lxcfs) || !lxcfs.ready) {
      return [{ severity: 'error', check, message: `${node}: ${lxcfs?.problem ?? 'not ready'}`, remedy }];
    }
    const missing = lxcfs.missingViews.map((view) => `${view} is not served by this lxcfs`);
    const problems = [
      ...(lxcfs.problem ? [lxcfs.problem] : []),
      ...missing,
      ...lxcfs.untrueViews.map(({ view, why }) => `${view}: ${why}`),
    ];
    return problems.map((problem) => ({ severity: 'warning', check, message: `${node}: ${problem}`, remedy }));
  });
  if (findings.length > 0) return findings;
  return ok(check, wanted.length > 0 ? `serves on ${wanted.length} nodes` : 'wanted on no node');
}

/** docs/install.md, Compatibility. */
const NEEDED = [5, 12] as const;
const FOR_DEVICES_ON_V2 = [5, 18] as const;

function kernels({ reports }: Facts): CheckFinding[] {
  const check = 'kernels';
  const findings = reports.flatMap(({ node, status }): CheckFinding[] => {
    if (!status) return [];
    const { kernel, cgroups } = status.daemon;
    // A daemon of an earlier version does not tell.
    if (kernel === undefined) return [];
    if (isOlder(kernel, NEEDED)) {
      const message = `${node}: Linux ${kernel}, and 5.12 or newer is needed`;
      return [
        { severity: 'error', check, message, remedy: 'keep hotmount off that node by node.affinity, or upgrade it' },
      ];
    }
    if (cgroups === 'v2' && isOlder(kernel, FOR_DEVICES_ON_V2) && status.policy.deviceClasses.length > 0) {
      const message = `${node}: Linux ${kernel} with cgroup v2: no container gets a device (kernel_too_old)`;
      return [{ severity: 'warning', check, message, remedy: 'device classes take Linux 5.18 or newer there' }];
    }
    return [];
  });
  return findings.length > 0 ? findings : ok(check, 'new enough on all nodes that answered');
}

function isOlder(kernel: string, [major, minor]: readonly [number, number]): boolean {
  const [, ownMajor = 0, ownMinor = 0] = (/^(\d+)\.(\d+)/.exec(kernel) ?? []).map(Number);
  return ownMajor < major || (ownMajor === major && ownMinor < minor);
}

const ENFORCE = 'pod-security.kubernetes.io/enforce';

function podSecurity({ namespaces, systemNamespace }: Facts): CheckFinding[] {
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

/** Exit code 1 goes with one of these. */
export const isBad = ({ severity }: CheckFinding): boolean => severity === 'error';

export function formatCheck(
  { findings }: CheckReport,
  { width = 100, colors }: { width: number | undefined; colors: Colors },
): string {
  const marks = {
    ok: colors.green('ok'),
    warning: colors.yellow('warning'),
    error: colors.red('ERROR'),
    unknown: colors.cyan('unknown'),
  };
  const lines = findings.flatMap(({ severity, check, message, remedy }) => {
    const [first = '', ...more] = fold(`${check}: ${message}`, width - 10);
    const pad = ' '.repeat(9 - severity.length);
    return [
      `${marks[severity]}${pad}${first}`,
      ...more.map((line) => `${' '.repeat(9)}${line}`),
      ...(remedy === undefined
        ? []
        : fold(`→ ${remedy}`, width - 12).map((line, i) => `${' '.repeat(i === 0 ? 9 : 11)}${line}`)),
    ];
  });
  return lines.map((line) => `${line}\n`).join('');
}
