import type { V1Namespace, V1Pod } from '@kubernetes/client-node';
import { Command, Option } from 'commander';
import type { JsonObject } from '../contract/json.ts';
import { printable } from '../contract/text.ts';
import { injectManifest, ObjectError } from '../injection/index.ts';
import { statusOf } from '../kubernetes/errors.ts';
import { NamespaceLabelsUnknownError, parsePolicy } from '../policy/index.ts';
import { colorsFor } from './color.ts';
import { fail, UsageError } from './fail.ts';
import { type CheckReport, formatCheck, isBad, judge } from './kubectl/check.ts';
import { type ClusterStatus, formatClusterStatus } from './kubectl/cluster-status.ts';
import {
  type Connection,
  type ConnectionFlags,
  connect,
  whereNoAnswer,
  withConnectionFlags,
} from './kubectl/connection.ts';
import { askDaemons, execOnNode, podByNode, podsOf, whyNot } from './kubectl/daemons.ts';
import { type Explanation, explainPod, formatExplanation, type UnderPolicy } from './kubectl/explain.ts';
import { findPolicy, gather } from './kubectl/facts.ts';
import { findSystemNamespace } from './kubectl/system-namespace.ts';
import { findTarget, readTarget } from './kubectl/targets.ts';
import { asData, progress, widthOf } from './kubectl/terminal.ts';

const API_VERSION = 'hotmount.io/v1alpha1';

interface OutputFlags extends ConnectionFlags {
  readonly output?: 'table' | 'wide' | 'json' | 'yaml';
}

const RIGHTS = `
It asks the daemons as kubectl exec does, with your own rights: list pods and
create pods/exec in hotmount's namespace, and list nodes (docs/kubectl.md).
`;

/** Of the command without a name, and of each. */
const HELP = {
  kubectl: `
Examples:
  kubectl hotmount status                       what is plugged in, and where
  kubectl hotmount explain deployment/web -n shop
  kubectl hotmount check                        what is wrong, and what to do
  kubectl hotmount eject node-1/sdb             so that the disk can be pulled
${RIGHTS}
Exit codes: 0 all is well; 1 a node is not, or does not answer, or something was
refused; 2 wrong usage.
`,
  status: `
Examples:
  kubectl hotmount status
  kubectl hotmount status -n shop -o wide       what pods of this namespace have
  kubectl hotmount status -o json               a ClusterStatus: docs/kubectl.md
${RIGHTS}
Exit codes: 0 all nodes are ready; 1 a node is not, or does not answer, or the
API server refused something; 2 wrong usage.
`,
  explain: `
Examples:
  kubectl hotmount explain web-6f7c9            a pod
  kubectl hotmount explain deployment/web -n shop
  kubectl hotmount explain cronjob/backup -o yaml
${RIGHTS}
Exit codes: 0 done, also where the pod does not have all; 1 there is no such
object, or the API server refused something; 2 wrong usage.
`,
  check: `
Examples:
  kubectl hotmount check
  kubectl hotmount check -n shop                would pods in this namespace do?
  kubectl hotmount check -o json                a CheckReport: docs/kubectl.md
${RIGHTS}
Exit codes: 0 nothing is wrong; 1 something is, or the API server refused
something; 2 wrong usage.
`,
  eject: `
Examples:
  kubectl hotmount eject node-1/sdb             the disk, with all partitions
  kubectl hotmount eject node-1/sdb1            one partition
${RIGHTS}
Exit codes: 0 it can be pulled; 1 it cannot, or no daemon answers there; 2 wrong
usage.
`,
};

/** `hotmount kubectl`, or `kubectl hotmount`: the cluster at a glance, through the API server. */
export function kubectlCommand(): Command {
  const command = new Command('kubectl')
    .description('the cluster at a glance; installed as kubectl-hotmount: kubectl hotmount')
    .addHelpText('after', HELP.kubectl);
  const add = (name: Exclude<keyof typeof HELP, 'kubectl'>, description: string): Command =>
    withConnectionFlags(command.command(name).description(description)).addHelpText('after', HELP[name]);
  const output = (...choices: string[]) =>
    new Option('-o, --output <format>', 'a table for people, or data').choices(choices).default('table');

  add('status', 'show what hotmount does on all nodes, and what is wrong')
    .addOption(output('table', 'wide', 'json', 'yaml'))
    .option('-A, --all-namespaces', 'what pods of all namespaces have: the default, unless -n is given')
    .action(run(status));
  add('explain', 'say what a pod or workload has through hotmount, what it lacks, and why')
    .argument('<target>', 'POD, pod/POD, deployment/NAME, statefulset/NAME, daemonset/NAME, job/NAME or cronjob/NAME')
    .addOption(output('table', 'json', 'yaml'))
    .action(run(explain, readTarget));
  add('check', 'check the installation, and name the remedy for each problem')
    .addOption(output('table', 'json', 'yaml'))
    .action(run(check));
  add('eject', 'unmount a disk of a node everywhere, so that it can be pulled')
    .argument('<node/disk>', 'as kubectl hotmount status names them: node-1/sdb')
    .action(run(eject, readDisk));
  return command;
}

type Work = (connection: Connection, flags: OutputFlags, argument: string) => Promise<number>;

/** The action of a command with one argument or none, which is checked before anything is read. What it resolves with is the exit code. */
const run =
  (work: Work, check: (argument: string) => unknown = () => {}) =>
  async (...given: unknown[]): Promise<void> => {
    const command = given.at(-1) as Command;
    const flags = command.optsWithGlobals<OutputFlags>();
    let connection: Connection | undefined;
    try {
      const argument = given.length > 2 ? String(given[0]) : '';
      check(argument);
      connection = await connect(flags);
      process.exitCode = await work(connection, flags, argument);
    } catch (error) {
      const isOwn = ['UsageError', 'KubernetesError', 'PolicyError'].includes((error as Error).name);
      if (isOwn || !connection) return fail(command, error, 1);
      const why = whyNot(error, connection.timeout);
      await fail(command, new Error(whereNoAnswer(connection, error) + why), 1);
    }
  };

/** Asks all nodes, with a line on the terminal that says how far that is. */
async function withProgress<T>(work: (onAnswer: (done: number, all: number) => void) => Promise<T>): Promise<T> {
  const line = progress(process.stderr);
  return work(line.show).finally(line.clear);
}

const look = () => ({ width: widthOf(process.stdout), colors: colorsFor(process.stdout), now: new Date() });

async function status(connection: Connection, flags: OutputFlags): Promise<number> {
  const { namespace } = flags;
  const systemNamespace = await findSystemNamespace(connection);
  const nodes = await withProgress((onAnswer) => askDaemons(connection, systemNamespace, onAnswer));
  const policy = await findPolicy(connection, systemNamespace);
  const cluster: ClusterStatus = {
    apiVersion: API_VERSION,
    kind: 'ClusterStatus',
    ...(policy ? { policy: { configMap: policy.configMap, digest: policy.digest } } : {}),
    nodes,
  };
  const isData = flags.output === 'json' || flags.output === 'yaml';
  process.stdout.write(
    isData
      ? asData(cluster, flags.output as 'json' | 'yaml')
      : formatClusterStatus(cluster, { ...look(), wide: flags.output === 'wide', namespace }),
  );
  return nodes.every((node) => node.status?.daemon.ready) ? 0 : 1;
}

/** More pods than these are only counted. */
const PODS_SHOWN = 10;

async function explain(connection: Connection, flags: OutputFlags, text: string): Promise<number> {
  const target = await findTarget(connection, text);
  const shown = target.pods.slice(0, PODS_SHOWN);
  const systemNamespace = await findSystemNamespace(connection);
  const [underPolicy, pods] = await Promise.all([
    explainUnderPolicy(connection, systemNamespace, target.object),
    withProgress(async (onAnswer) => {
      const nodes = new Set(shown.flatMap(({ spec }) => spec?.nodeName ?? []));
      const reports = nodes.size > 0 ? await askDaemons(connection, systemNamespace, onAnswer, nodes) : [];
      return shown.map((pod) =>
        explainPod(
          pod,
          reports.find(({ node }) => node === pod.spec?.nodeName),
        ),
      );
    }),
  ]);
  const explanation: Explanation = {
    apiVersion: API_VERSION,
    kind: 'Explanation',
    object: target.title,
    ...(underPolicy ? { underPolicy } : {}),
    pods,
  };
  if (flags.output === 'json' || flags.output === 'yaml') process.stdout.write(asData(explanation, flags.output));
  else process.stdout.write(formatExplanation(explanation, look()));
  const more = target.pods.length - shown.length;
  if (more > 0) process.stderr.write(`and ${more} more pods of it\n`);
  return 0;
}

async function explainUnderPolicy(
  connection: Connection,
  systemNamespace: string,
  object: JsonObject,
): Promise<UnderPolicy | undefined> {
  const { ask, namespace } = connection;
  const found = await findPolicy(connection, systemNamespace);
  if (!found) return undefined;
  const labels = await ask<V1Namespace>(`/api/v1/namespaces/${namespace}`).catch((error: unknown) => {
    if (statusOf(error) === 403) return undefined;
    throw error;
  });
  const policy = parsePolicy(found.text, { file: found.configMap });
  try {
    const context = { namespace, namespaceLabels: labels && (labels.metadata?.labels ?? {}), volumes: undefined };
    const { summary, denials, warnings } = injectManifest(object, context, policy);
    return {
      gives: summary.entries.map(({ container, feature, item, rule }) => ({ container, feature, item, rule })),
      denied: denials.map(({ message }) => message),
      warnings: warnings.map(({ message }) => message),
    };
  } catch (error) {
    if (!(error instanceof NamespaceLabelsUnknownError) && !(error instanceof ObjectError)) throw error;
    return { gives: [], denied: [(error as Error).message], warnings: [] };
  }
}

async function check(connection: Connection, flags: OutputFlags): Promise<number> {
  const facts = await withProgress((onAnswer) => gather(connection, onAnswer));
  const findings = judge({ ...facts, namespace: flags.namespace });
  const report: CheckReport = { apiVersion: API_VERSION, kind: 'CheckReport', findings };
  process.stdout.write(
    flags.output === 'json' || flags.output === 'yaml' ? asData(report, flags.output) : formatCheck(report, look()),
  );
  return findings.some(isBad) ? 1 : 0;
}

/** ms. As `hotmount eject` waits itself: to write back to a slow stick takes its time. */
const EJECT_DEADLINE = 60_000;

/** `NODE/DISK`, or `NODE/dev/DISK`. @throws UsageError */
function readDisk(text: string): { node: string; disk: string } {
  const slash = text.indexOf('/');
  const [node, disk] = [text.slice(0, slash), text.slice(slash + 1).replace(/^dev\//, '')];
  if (slash >= 1 && /^[\w.-]+$/.test(disk)) return { node, disk };
  throw new UsageError(`${text}: expected NODE/DISK, as in kubectl hotmount status`);
}

async function eject(connection: Connection, _flags: OutputFlags, text: string): Promise<number> {
  const { node, disk } = readDisk(text);
  const systemNamespace = await findSystemNamespace(connection);
  const daemons = podByNode(await podsOf(connection, systemNamespace, 'node'));
  const pod: V1Pod | undefined = daemons.get(node);
  if (!pod)
    throw new UsageError(
      `no hotmount node of ${systemNamespace} runs on ${node}; it runs on ${[...daemons.keys()].join(', ') || 'no node'}`,
    );
  const { code, stdout, stderr } = await execOnNode(connection, pod, ['hotmount', 'eject', disk], EJECT_DEADLINE);
  process.stderr.write(
    `${[stdout, stderr]
      .join('')
      .split('\n')
      .map((line) => printable(line))
      .join('\n')}`,
  );
  return code;
}
