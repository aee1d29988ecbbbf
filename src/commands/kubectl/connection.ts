import type { KubeConfig } from '@kubernetes/client-node';
import { type Command, Option } from 'commander';
import { KubernetesError } from '../../kubernetes/errors.ts';
import { loadKubeconfig } from '../../kubernetes/kubeconfig.ts';
import { askApi, type RestRequest } from '../../kubernetes/rest.ts';
import { UsageError } from '../fail.ts';

/** Seconds. */
const DEFAULT_TIMEOUT = '10';

/** Those of kubectl, for each of the plugin's commands. */
export interface ConnectionFlags {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
  readonly systemNamespace?: string;
  readonly timeout?: string;
}

const connectionFlags = (): Option[] => [
  new Option('-n, --namespace <name>', 'the namespace (default: that of the context)'),
  new Option('--context <name>', 'the context of the kubeconfig'),
  new Option('--kubeconfig <file>', 'the kubeconfig (default: KUBECONFIG, or ~/.kube/config)'),
  new Option('--system-namespace <name>', 'where hotmount is installed (default: as its webhook configuration says)'),
  new Option('--timeout <seconds>', `how long each node may take to answer (default: ${DEFAULT_TIMEOUT})`),
];

/**
 * Adds the flags by which `connect` finds the cluster to a command, and to the command above it: kubectl takes them before the command,
 * too. `optsWithGlobals()` has them, wherever they stood.
 */
export function withConnectionFlags(command: Command): Command {
  for (const flag of connectionFlags()) {
    if (!command.parent?.options.some(({ long }) => long === flag.long)) command.parent?.addOption(flag.hideHelp());
  }
  for (const flag of connectionFlags()) command.addOption(flag);
  return command;
}

/** A way to a cluster, with the rights of its user. */
export interface Connection {
  readonly config: KubeConfig;
  /** Of the flag, or else of the context. */
  readonly namespace: string;
  /** From the flag; without it, findSystemNamespace finds the namespace. */
  readonly systemNamespace: string | undefined;
  /** ms. For each request, and for each node. */
  readonly timeout: number;
  /** @throws ApiError where it is refused, Error where there is no answer in time */
  readonly ask: <T>(path: string, request?: Omit<RestRequest, 'signal'>) => Promise<T>;
}

/** Reads the kubeconfig; asks nobody yet. @throws UsageError or KubernetesError that says what to give */
export async function connect(flags: ConnectionFlags): Promise<Connection> {
  const timeout = readTimeout(flags.timeout ?? DEFAULT_TIMEOUT);
  const config = await loadKubeconfig(flags.kubeconfig);
  if (flags.context !== undefined) {
    if (!config.getContextObject(flags.context)) {
      const names = config.getContexts().map(({ name }) => name);
      throw new UsageError(`--context ${flags.context}: the kubeconfig has ${names.join(', ') || 'none'}`);
    }
    config.setCurrentContext(flags.context);
  }
  // What the library assumes where it finds nothing.
  if (!config.getCurrentCluster() || config.getCurrentCluster()?.server === 'http://localhost:8080') {
    throw new KubernetesError('no API server is known: set KUBECONFIG, or name a kubeconfig file by --kubeconfig');
  }
  const context = config.getContextObject(config.getCurrentContext());
  return {
    config,
    namespace: flags.namespace ?? context?.namespace ?? 'default',
    systemNamespace: flags.systemNamespace,
    timeout,
    ask: (path, request = {}) => askApi(config, path, { ...request, signal: AbortSignal.timeout(timeout) }),
  };
}

/** Codes of Node's and OpenSSL's errors are words; HTTP's are numbers. */
const hasNoAnswer = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === 'TimeoutError' || ('code' in error && typeof error.code === 'string' && error.code !== 'ABORT_ERR'));

/** What to look at where the API server itself does not answer; empty where it has. */
export function whereNoAnswer({ config }: Connection, error: unknown): string {
  if (!hasNoAnswer(error)) return '';
  const context = config.getCurrentContext();
  const from = context ? ` of the context ${context}` : '';
  return (
    `the API server ${config.getCurrentCluster()?.server}${from} cannot be reached. Does it run, can this machine reach it, ` +
    'and is it the right context (kubectl config get-contexts)? '
  );
}

function readTimeout(text: string): number {
  const seconds = /^(\d{1,4}(?:\.\d+)?)s?$/.exec(text)?.[1];
  if (seconds !== undefined && Number(seconds) > 0) return Number(seconds) * 1000;
  throw new UsageError(`--timeout ${text}: expected a number of seconds`);
}
