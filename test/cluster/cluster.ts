import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { freePorts } from '../ports.ts';
import { ApiClient } from './api-client.ts';
import type { Binaries } from './binaries.ts';
import { Commands } from './commands.ts';
import { kubeconfigFor } from './kubeconfig.ts';
import { ServerProcess } from './server-process.ts';

/**
 * Where Services live: in 127.0.0.0/8, so that a cluster IP is an address of this machine, on which fake-kube-proxy.ts can listen.
 */
const SERVICE_RANGE = '127.96.0.0/16';

/** Those that make Pods of workloads, and those that clean up. There are no nodes: nothing is ever scheduled. */
const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'statefulset-controller',
  'daemonset-controller',
  'job-controller',
  'cronjob-controller',
  'namespace-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'root-ca-certificate-publisher-controller',
  'garbage-collector-controller',
];

/** A control plane on loopback: etcd, kube-apiserver and kube-controller-manager. Pods are made, and never run. */
export class Cluster extends Commands {
  /** For the tests' own files too; removed with the cluster. */
  readonly directory: string;
  readonly url: string;
  readonly #binaries: Binaries;
  readonly #adminToken: string;
  readonly #etcdPort: number;
  readonly #etcdPeerPort: number;
  #etcd: ServerProcess | undefined;
  #apiServer: ServerProcess | undefined;
  #controllerManager: ServerProcess | undefined;

  /** Use startCluster. */
  constructor(directory: string, binaries: Binaries, ports: readonly number[]) {
    super(binaries, join(directory, 'admin.kubeconfig'));
    const [apiPort = 0, etcdPort = 0, etcdPeerPort = 0] = ports;
    this.directory = directory;
    this.url = `https://127.0.0.1:${apiPort}`;
    this.#binaries = binaries;
    this.#adminToken = randomBytes(16).toString('hex');
    this.#etcdPort = etcdPort;
    this.#etcdPeerPort = etcdPeerPort;
  }

  async start(): Promise<void> {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await Promise.all([
      writeFile(this.#file('service-account.key'), privateKey.export({ type: 'pkcs8', format: 'pem' })),
      writeFile(this.#file('service-account.pub'), publicKey.export({ type: 'spki', format: 'pem' })),
      writeFile(this.#file('tokens.csv'), `${this.#adminToken},admin,admin,system:masters\n`),
      mkdir(this.#file('certificates'), { recursive: true }),
    ]);
    await this.#startEtcd();
    await this.startApiServer();
    await this.writeKubeconfig(this.kubeconfig, this.#adminToken);
    this.#controllerManager = new ServerProcess('kube-controller-manager', this.#binaries.controllerManager, [
      `--kubeconfig=${this.kubeconfig}`,
      `--service-account-private-key-file=${this.#file('service-account.key')}`,
      `--root-ca-file=${this.caFile}`,
      `--controllers=${CONTROLLERS.join(',')}`,
      '--leader-elect=false',
      '--secure-port=0',
    ]);
    await this.eventually(() => this.kubectl('get', 'serviceaccount', 'default', '-n', 'default'));
  }

  /** What clients verify the API server with: it makes its own certificate at its first start, and writes its CA behind the leaf. */
  get caFile(): string {
    return this.#file('certificates/apiserver.crt');
  }

  /** Of the API server, for memory and CPU figures. */
  get apiServerPid(): number {
    return this.#apiServer?.pid ?? 0;
  }

  get apiServerOutput(): string {
    return this.#apiServer?.output ?? '';
  }

  async startApiServer(): Promise<void> {
    const port = new URL(this.url).port;
    this.#apiServer = new ServerProcess('kube-apiserver', this.#binaries.apiServer, [
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${this.#file('certificates')}`,
      `--etcd-servers=http://127.0.0.1:${this.#etcdPort}`,
      `--service-cluster-ip-range=${SERVICE_RANGE}`,
      // An endpoint must not be a loopback address, and nothing here needs the Service `kubernetes`.
      '--endpoint-reconciler-type=none',
      '--authorization-mode=RBAC',
      `--token-auth-file=${this.#file('tokens.csv')}`,
      `--service-account-key-file=${this.#file('service-account.pub')}`,
      `--service-account-signing-key-file=${this.#file('service-account.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      // The node daemon's pods are privileged.
      '--allow-privileged=true',
      '--enable-priority-and-fairness=false',
    ]);
    await this.#apiServer.ready(() => this.#answers());
  }

  /** The API server ends, as at an upgrade of it; etcd stays. */
  async stopApiServer(): Promise<void> {
    await this.#apiServer?.stop('SIGTERM', 5_000);
  }

  /** A kubeconfig by which the bearer of a token reaches the API server. */
  async writeKubeconfig(file: string, token: string): Promise<void> {
    await writeFile(file, kubeconfigFor(this.url, this.caFile, token), { mode: 0o600 });
  }

  /** A kubeconfig with the rights of a service account, and no others. Returns its path. */
  async kubeconfigOf(namespace: string, serviceAccount: string): Promise<string> {
    const token = await this.kubectl('create', 'token', serviceAccount, '-n', namespace, '--duration=24h');
    const file = this.#file(`${namespace}-${serviceAccount}.kubeconfig`);
    await this.writeKubeconfig(file, token.trim());
    return file;
  }

  /** An admin's way to the API without kubectl. The caller closes it. */
  apiClient(): Promise<ApiClient> {
    return ApiClient.open(this.url, this.#adminToken, this.caFile);
  }

  /** What the API server tells Prometheus. */
  async apiServerMetrics(): Promise<string> {
    return await this.kubectl('get', '--raw', '/metrics');
  }

  async stop(): Promise<void> {
    await this.#controllerManager?.stop('SIGKILL');
    await this.#apiServer?.stop('SIGKILL');
    await this.#etcd?.stop('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }

  async #startEtcd(): Promise<void> {
    const client = `http://127.0.0.1:${this.#etcdPort}`;
    const peer = `http://127.0.0.1:${this.#etcdPeerPort}`;
    this.#etcd = new ServerProcess('etcd', this.#binaries.etcd, [
      `--data-dir=${this.#file('etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      // It is thrown away in the end.
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
    await this.#etcd.ready(async () => (await fetch(`${client}/health`)).ok);
  }

  async #answers(): Promise<boolean> {
    const agent = new Agent({ connect: { ca: await readFile(this.caFile, 'utf8') } });
    try {
      return (await request(`${this.url}/readyz`, { dispatcher: agent })).statusCode === 200;
    } finally {
      await agent.destroy();
    }
  }

  #file(name: string): string {
    return join(this.directory, name);
  }
}

/** Starts a control plane of its own. Rejects with what its programs said. */
export async function startCluster(binaries: Binaries): Promise<Cluster> {
  const directory = await mkdtemp(join(tmpdir(), 'hotmount-cluster-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const cluster = new Cluster(directory, binaries, await freePorts(3));
  try {
    await cluster.start();
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
