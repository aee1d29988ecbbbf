import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { Commands } from '../cluster/commands.ts';
import { kubeconfigFor } from '../cluster/kubeconfig.ts';
import { succeed } from '../execute.ts';
import type { NodeBinaries } from './binaries.ts';
import {
  API_SERVER,
  argumentsOf,
  CONTAINERD_SOCKET,
  configurationFiles,
  DNS_SERVICE,
  type Files,
  NODE_NAME,
} from './configuration.ts';
import { writeImages } from './images.ts';
import { Machine, type NodeMachine } from './machine.ts';

/** One node a machine: it has the cgroups. */
export const DIRECTORY = join(tmpdir(), 'hotmount-node');

/** ms. What one waits for in vain. */
const PATIENCE = 120_000;

/** A cluster of one node: a control plane, containerd and a kubelet on a machine of their own, as an admin sees it. */
export class Node<M extends NodeMachine = Machine> extends Commands {
  readonly machine: M;
  readonly #controlPlane: NodeMachine;
  readonly #binaries: NodeBinaries;
  readonly #files: Files;

  private constructor(machine: M, binaries: NodeBinaries) {
    const files = filesIn(machine.directory);
    const controlPlane = machine.controlPlane ?? machine;
    super(binaries, files.admin, (...command) => controlPlane.run(...command));
    this.machine = machine;
    this.#controlPlane = controlPlane;
    this.#binaries = binaries;
    this.#files = files;
  }

  /** @param attached whether it ends with this process @throws with what its programs said */
  static async start(binaries: NodeBinaries, attached: boolean): Promise<Node> {
    const machine = await Machine.start({ directory: DIRECTORY, attached });
    const images = join(machine.directory, 'pods.tar');
    const made = writeImages(images);
    const [node] = await Promise.all([
      Node.startOn(machine, binaries, (node) => made.then(() => node.importImages(images))),
      made,
    ]);
    return node;
  }

  /**
   * The same on a machine that is there, which is stopped where it fails.
   * @param prepare what is to be done once containerd is there, and before the kubelet is
   */
  static async startOn<M extends NodeMachine>(
    machine: M,
    binaries: NodeBinaries,
    prepare: (node: Node<M>) => Promise<void> = async () => {},
  ): Promise<Node<M>> {
    try {
      const node = new Node(machine, binaries);
      await node.#writeFiles();
      await Promise.all([node.#serveControlPlane(), node.#serveContainerd().then(() => prepare(node))]);
      await node.#serveKubelet();
      return node;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** The one that has been started, and stays. */
  static async find(binaries: NodeBinaries): Promise<Node | undefined> {
    const found = await Machine.find(DIRECTORY);
    return found?.machine.isRunning ? new Node(found.machine, binaries) : undefined;
  }

  /** Runs a command in a container of a pod. `pod`: its name, or `deployment/NAME`. @throws with what it said where it failed */
  async exec(namespace: string, pod: string, ...command: string[]): Promise<string> {
    return (await this.kubectl('exec', '-n', namespace, pod, '--', ...command)).trimEnd();
  }

  /** containerd's own command line, among the kubelet's containers and images. */
  ctr(...args: string[]): Promise<string> {
    const ctr = join(this.#binaries.containerd, 'ctr');
    return this.machine.sh('exec "$@"', ctr, '-a', CONTAINERD_SOCKET, '-n', 'k8s.io', ...args);
  }

  /** As everywhere, in the time of the machine. */
  override eventually<T>(attempt: () => Promise<T>, timeoutMs = 90_000): Promise<T> {
    return super.eventually(attempt, timeoutMs * this.machine.slowness);
  }

  /** Imports an archive of images. */
  async importImages(archive: string): Promise<void> {
    await this.ctr('images', 'import', '--local', '--discard-unpacked-layers', archive);
  }

  /**
   * A program of the node ends by a signal and is started again, as systemd does it. Resolves when it serves.
   * @param meanwhile what is to be done in between
   */
  async restart(
    program: 'kubelet' | 'containerd' | 'kube-apiserver',
    signal = 'TERM',
    meanwhile: () => Promise<unknown> = async () => {},
  ): Promise<void> {
    const machine = this.#machineOf(program);
    await machine.signal(program, signal);
    await this.eventually(() => machine.hasEnded(program), PATIENCE);
    await meanwhile();
    await this.#serve(program);
    await this.#ready(program);
  }

  /** After a boot of the machine, its programs begin again. Resolves when the kubelet serves. */
  async serveAfterBoot(): Promise<void> {
    await this.#serveContainerd();
    await this.#serveKubelet();
    await this.#ready('kubelet');
  }

  /** Waits until the node is Ready, or `false`: until it is not. */
  async untilNodeReady(ready = true): Promise<void> {
    const condition = `--for=condition=Ready=${ready ? 'true' : 'unknown'}`;
    await this.eventually(() => this.kubectl('wait', condition, `node/${NODE_NAME}`, '--timeout=1s'), PATIENCE);
  }

  async stop(): Promise<void> {
    await this.machine.stop();
  }

  async #serveControlPlane(): Promise<void> {
    for (const program of ['etcd', 'kube-apiserver']) await this.#serve(program);
    await this.#ready('kube-apiserver');
    for (const program of ['kube-controller-manager', 'kube-scheduler', 'coredns']) await this.#serve(program);
    await this.eventually(() => this.apply(DNS_SERVICE), PATIENCE);
    await this.eventually(() => this.kubectl('get', 'serviceaccount', 'default', '-n', 'default'), PATIENCE);
    if (this.#controlPlane === this.machine) return;
    const { ca, directory } = this.#files;
    await this.machine.write(relative(directory, ca), await this.#controlPlane.sh('cat "$1"', ca));
  }

  async #serveContainerd(): Promise<void> {
    await this.#serve('containerd');
    await this.#ready('containerd');
  }

  async #serveKubelet(): Promise<void> {
    for (const program of ['kubelet', 'kube-proxy']) await this.#serve(program);
    await this.untilNodeReady().catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await this.machine.log('kubelet')}`);
    });
  }

  async #serve(program: string): Promise<void> {
    const { servers, kubelet, containerd, coredns } = this.#binaries;
    const file = [kubelet, servers, containerd, coredns].map((place) => join(place, program)).find(existsSync);
    if (file === undefined) throw new Error(`${program} is not among what has been built`);
    // containerd looks for its shim there.
    const PATH = `${containerd}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
    const args = argumentsOf(this.#files, this.machine.address)[program] ?? [];
    await this.#machineOf(program).serve(program, [file, ...args], { PATH, HOME: '/root' });
  }

  async #ready(program: 'kubelet' | 'containerd' | 'kube-apiserver'): Promise<void> {
    const check = {
      'kube-apiserver': () => this.kubectl('get', '--raw', '/readyz'),
      containerd: () => this.ctr('version'),
      kubelet: () => this.kubectl('get', '--raw', `/api/v1/nodes/${NODE_NAME}/proxy/healthz`),
    }[program];
    try {
      await this.eventually(check, PATIENCE);
    } catch (error) {
      throw new Error(
        `${program} does not serve: ${(error as Error).message}\n${await this.#machineOf(program).log(program)}`,
      );
    }
  }

  #machineOf(program: string): NodeMachine {
    return ['containerd', 'kubelet', 'kube-proxy'].includes(program) ? this.machine : this.#controlPlane;
  }

  async #writeFiles(): Promise<void> {
    const { admin, node, ca } = this.#files;
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const [adminToken, nodeToken] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
    const runc = (await succeed(['sh', '-c', 'command -v runc'])).trim();
    const { systemd, address, slowness } = this.machine;
    const { containerdMajor } = this.#binaries;
    const runtime = { runc, systemd, address, slowness, containerdMajor };
    const files = {
      ...configurationFiles(this.#files, runtime),
      'service-account.key': privateKey.export({ type: 'pkcs8', format: 'pem' }),
      'service-account.pub': publicKey.export({ type: 'spki', format: 'pem' }),
      'tokens.csv': `${adminToken},admin,admin,system:masters\n${nodeToken},system:node:${NODE_NAME},node,system:nodes\n`,
      [basename(admin)]: kubeconfigFor(API_SERVER, ca, adminToken),
      [basename(node)]: kubeconfigFor(API_SERVER, ca, nodeToken),
    };
    for (const machine of new Set([this.machine, this.#controlPlane])) {
      for (const [name, text] of Object.entries(files)) await machine.write(name, text.toString());
    }
  }
}

const filesIn = (directory: string): Files => ({
  directory,
  admin: join(directory, 'admin.kubeconfig'),
  node: join(directory, 'node.kubeconfig'),
  ca: join(directory, 'certificates/apiserver.crt'),
});
