import { isIn, uncounted } from '../cluster-status.ts';
import type { NodeReport } from '../daemons.ts';
import { type CheckFinding, type Facts, ok } from './finding.ts';

/** Whether all daemons answer, and are ready. */
export function daemonsAnswer({ reports }: Facts): CheckFinding[] {
  const check = 'node daemons';
  const findings = reports.flatMap(({ node, status, problem }): CheckFinding[] => {
    const wrong = problem ?? (status?.daemon.ready ? undefined : (status?.daemon.problem ?? 'not ready'));
    if (wrong === undefined) return [];
    const remedy = 'kubectl get pods -o wide shows the pod of that node, and kubectl logs of it says more';
    return [{ severity: 'error', check, message: `${node}: ${wrong}`, remedy }];
  });
  return findings.length > 0 ? findings : ok(check, `all ${reports.length} answer, and are ready`);
}

/** Whether lxcfs serves where it is wanted, and tells readers their own values. */
export function lxcfsServes({ reports }: Facts): CheckFinding[] {
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

/** Whether the kernels have what hotmount takes. */
export function kernels({ reports }: Facts): CheckFinding[] {
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

/** Whether the kubelets have the counts of the device plugin: pods that request a resource without one wait. */
export function resourcesCounted({ reports }: Facts): CheckFinding[] {
  const check = 'device plugin';
  const wanted = reports.filter(({ status }) => status?.devicePlugin);
  const findings = wanted.flatMap(({ node, status }): CheckFinding[] => {
    const problem = status?.devicePlugin?.problem;
    const problems = [...(problem === undefined ? [] : [problem]), ...(status ? uncounted(status) : [])];
    const remedy = 'is the chart’s kubeletDir the kubelet’s --root-dir? Pods that request the resource wait';
    return problems.map((text) => ({ severity: 'error', check, message: `${node}: ${text}`, remedy }));
  });
  if (findings.length > 0) return findings;
  return ok(check, wanted.length > 0 ? `counts on ${wanted.length} nodes` : 'wanted on no node');
}

/** Whether live pods are given what they ask for, and soon. */
export function livePods({ reports, namespace }: Facts): CheckFinding[] {
  const check = 'live pods';
  const podsOf = (status: NodeReport['status']) => (status?.live?.pods ?? []).filter(({ pod }) => isIn(namespace, pod));
  const findings = reports.flatMap(({ node, status }): CheckFinding[] => {
    const problem = status?.live?.problem;
    const late = problem === undefined ? [] : [{ message: problem, remedy: 'the log of that daemon says more' }];
    const refused = podsOf(status).flatMap(({ pod, notGiven }) =>
      notGiven.map(({ reason, message }) => ({
        message: `${pod} is not given what it asks for: ${message}`,
        remedy: `docs/annotations.md, Reason codes: ${reason}`,
      })),
    );
    return [...late, ...refused].map(({ message, remedy }) => ({
      severity: 'warning',
      check,
      message: `${node}: ${message}`,
      remedy,
    }));
  });
  const count = reports.reduce((sum, { status }) => sum + podsOf(status).length, 0);
  return findings.length > 0 ? findings : ok(check, `${count} have what they ask for`);
}

/** Notes on disks that something is wrong with; the others tell how a sound disk is mounted. */
const DISK_FAULTS: readonly string[] = ['dirty', 'dirty_read_only', 'turned_read_only'];

/** Whether the disks that are plugged in are sound. */
export function disksAreSound({ reports }: Facts): CheckFinding[] {
  const check = 'disks';
  const findings = reports.flatMap(({ node, status }) =>
    (status?.mounted ?? []).flatMap(({ disk, notes = [] }) =>
      notes
        .filter(({ reason }) => DISK_FAULTS.includes(reason))
        .map(
          ({ reason, message }): CheckFinding => ({
            severity: 'warning',
            check,
            message: `${node}/${disk}: ${reason}: ${message}`,
            remedy: `kubectl hotmount eject ${node}/${disk} unmounts it everywhere`,
          }),
        ),
    ),
  );
  const count = reports.reduce((sum, { status }) => sum + (status?.mounted.length ?? 0), 0);
  return findings.length > 0 ? findings : ok(check, `nothing is known against the ${count} that are mounted`);
}
