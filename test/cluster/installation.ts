import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../src/contract/json.ts';
import { freePorts } from '../ports.ts';
import type { Cluster } from './cluster.ts';
import { FakeKubeProxy } from './fake-kube-proxy.ts';
import { pod } from './objects.ts';
import { ServerProcess } from './server-process.ts';
import { REQUIRED } from './values.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
export const CHART = join(CHECKOUT, 'charts/hotmount');

/** One pod of the webhook's Deployment, as a process. */
export class Replica {
  readonly port: number;
  readonly metricsUrl: string;
  readonly process: ServerProcess;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, [port = 0, metricsPort = 0]: readonly number[]) {
    this.port = port;
    this.metricsUrl = `http://127.0.0.1:${metricsPort}`;
    const own = ['--host=127.0.0.1', `--port=${port}`, `--metrics-port=${metricsPort}`, '--health-port=0'];
    // As the image has it: the program's first line says how Node is started.
    const path = { PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };
    this.process = new ServerProcess('hotmount webhook', join(CHECKOUT, 'src/cli.ts'), [...args, ...own], {
      ...process.env,
      ...path,
      ...env,
    });
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`${this.metricsUrl}/readyz`)).ok;
  }

  /** The sum of all series of a metric whose labels contain the text. */
  async metric(name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`${this.metricsUrl}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(name) && line.includes(labels));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }
}

export interface InstallOptions {
  readonly release?: string;
  /** Its directory; that of the checkout, by default. */
  readonly chart?: string;
  readonly namespace?: string;
  readonly values?: JsonObject;
  readonly replicas?: number;
  /** Beyond those that the chart gives. */
  readonly args?: readonly string[];
  /** Stands in for the volume of the Secret: the directory of its files. */
  readonly tls?: string;
}

/**
 * The chart, installed by helm, with processes in place of its Deployment's pods: they get that Deployment's own arguments and environment, the rights of
 * its service account, and are reached through its Service.
 */
export class Installation {
  readonly release: string;
  readonly namespace: string;
  readonly replicas: Replica[] = [];
  readonly #cluster: Cluster;
  readonly #options: InstallOptions;
  #proxy: FakeKubeProxy | undefined;
  #kubeconfig = '';

  constructor(cluster: Cluster, options: InstallOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.release = options.release ?? 'hotmount';
    this.namespace = options.namespace ?? `hotmount-${randomBytes(2).toString('hex')}`;
  }

  async helm(...args: string[]): Promise<string> {
    const values = JSON.stringify({ ...REQUIRED, ...PATIENT, ...this.#options.values });
    const result = await this.#cluster.tryHelm([...args, '-n', this.namespace, '-f', '-'], values);
    if (result.code !== 0) throw new Error(result.stderr);
    return result.stdout;
  }

  async start(): Promise<void> {
    const cluster = this.#cluster;
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: this.namespace, labels: PRIVILEGED },
    });
    await this.helm('install', this.release, this.#options.chart ?? CHART);
    const account = `${this.release}-webhook`;
    this.#kubeconfig = await cluster.kubeconfigOf(this.namespace, account);
    const service = await cluster.get('service', account, '-n', this.namespace);
    this.#proxy = await FakeKubeProxy.listen(service.spec.clusterIP, 443);
    for (let i = 0; i < (this.#options.replicas ?? 1); i++) await this.addReplica();
    await this.#untilTrusted();
  }

  /** Starts another, and hands it connections when it is ready, as readiness probes and kube-proxy would. */
  async addReplica(): Promise<Replica> {
    const deployment = await this.#cluster.get('deployment', `${this.release}-webhook`, '-n', this.namespace);
    const { args, env = [] } = deployment.spec.template.spec.containers[0];
    const given = Object.fromEntries(env.map(({ name, value }: { name: string; value: string }) => [name, value]));
    const replica = new Replica(
      [...args.map((arg: string) => arg.replace('=/tls/', `=${this.#options.tls}/`)), ...(this.#options.args ?? [])],
      { ...given, KUBECONFIG: this.#kubeconfig },
      await freePorts(2),
    );
    this.replicas.push(replica);
    await replica.process.ready(() => replica.isReady());
    this.#proxy?.endpoints.push(replica.port);
    return replica;
  }

  /** As when a pod is deleted: SIGTERM, and a moment later no new connections. Resolves when it has ended by itself, or its time was up. */
  async removeReplica(replica: Replica): Promise<void> {
    const { replicas } = this;
    replicas.splice(replicas.indexOf(replica), 1);
    const stopped = replica.process.stop('SIGTERM', 130_000);
    await sleep(500);
    if (this.#proxy) this.#proxy.endpoints = replicas.map(({ port }) => port);
    await stopped;
  }

  /** Edits the policy as an admin does, by hand. */
  setPolicy(text: string, ...args: string[]): Promise<string> {
    const patch = ['--type=merge', '-p', JSON.stringify({ data: { 'policy.yaml': text } })];
    const name = `${this.release}-policy`;
    return this.#cluster.kubectl('patch', 'configmap', name, '-n', this.namespace, ...patch, ...args);
  }

  /** The sum over the replicas. */
  async metric(name: string, labels = ''): Promise<number> {
    const values = await Promise.all(this.replicas.map((replica) => replica.metric(name, labels)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.replicas.splice(0).map((replica) => replica.process.stop('SIGKILL')));
    await this.#proxy?.close();
    await this.#cluster.tryHelm(['uninstall', this.release, '-n', this.namespace]);
    await this.#cluster.tryKubectl(['delete', 'namespace', this.namespace, '--wait=false']);
  }

  /** Until the API server, whose memory of them lags behind, asks the webhooks of both configurations and believes the answers. */
  async #untilTrusted(): Promise<void> {
    const cluster = this.#cluster;
    await cluster.eventually(async () => {
      const asks = pod('asks', { 'hotmount.io/lxcfs': 'meminfo' });
      const { stdout, stderr } = await cluster.tryWith('create', asks, '-n', 'default', '--dry-run=server', '-o=json');
      if (!stdout.includes('"hotmount.io/status"') && !stderr.includes('denied the request')) throw new Error(stderr);
      const refused = await this.setPolicy('kind: None', '--dry-run=server').catch(({ message }: Error) => message);
      if (!refused.includes('denied the request')) throw new Error(`a policy that is none was not refused: ${refused}`);
    });
  }
}

/** The API server waits longer than the chart's 3 s, which a busy machine may miss: such deadlines are not what is tested. */
const PATIENT = { webhook: { timeoutSeconds: 30 } };

/** What docs/install.md has an admin put on the release's namespace. */
const PRIVILEGED = { 'pod-security.kubernetes.io/enforce': 'privileged' };

export async function install(cluster: Cluster, options: InstallOptions = {}): Promise<Installation> {
  const installation = new Installation(cluster, options);
  try {
    await installation.start();
    return installation;
  } catch (error) {
    const said = installation.replicas.map(({ process }) => process.output.slice(-3_000));
    await installation.stop();
    throw new Error(`${(error as Error).message}\n${said.join('\n')}`);
  }
}
