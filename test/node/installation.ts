import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import type { JsonObject } from '../../src/contract/json.ts';
import { digestOf } from '../../src/policy/digest.ts';
import type { Rig } from '../system/support/rig.ts';
import { HOTMOUNT_IMAGE } from './hotmount-image.ts';
import type { NodeMachine } from './machine.ts';
import type { Node } from './node.ts';
import { pod } from './objects.ts';
import { policyFor } from './policy.ts';

export const CHART = join(import.meta.dirname, '../../charts/hotmount');

/** As docs/install.md has it. */
export const NAMESPACE = 'hotmount-system';
export const RELEASE = 'hotmount';

const DOCUMENT = readFileSync(join(import.meta.dirname, '../../docs/install.md'), 'utf8');

/** The commands that docs/install.md has after a sentence or a heading, up to the next text. @throws where it has none */
export function commandsAfter(sentence: string): string[] {
  const start = DOCUMENT.indexOf(sentence);
  const [block] = /^( {4}.*\n)+/m.exec(DOCUMENT.slice(start)) ?? [];
  if (start < 0 || block === undefined) throw new Error(`docs/install.md has no commands after "${sentence}"`);
  return block
    .trimEnd()
    .split('\n')
    .map((line) => line.trim());
}

/** Installs the chart of the checkout, or upgrades it, and waits until everything is ready. @returns what helm printed */
export async function install<M extends NodeMachine>(
  node: Node<M>,
  args: readonly string[] = [],
  values: JsonObject = {},
  chart = CHART,
): Promise<string> {
  await node.apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } },
  });
  const helm = ['upgrade', '--install', RELEASE, chart, '--namespace', NAMESPACE, '--wait', '--timeout', '3m'];
  const all = { image: HOTMOUNT_IMAGE, ...values };
  const result = await node.tryHelm([...helm, '--values', '-', ...args], JSON.stringify(all));
  if (result.code === 0) return result.stdout;
  const pods = await node.kubectl('describe', 'pods', '-n', NAMESPACE);
  throw new Error(`helm ${helm.join(' ')}: ${result.stderr}\n${pods.slice(-8_000)}`);
}

/** The release `hotmount`, as the tests leave it to one another. */
export class Installation {
  readonly #node: Node;
  readonly #rig: Rig;
  #isAsMeant = false;

  constructor(node: Node, rig: Rig) {
    this.#node = node;
    this.#rig = rig;
  }

  get policy(): JsonObject {
    return policyFor(`${this.#rig.uuidPrefix}-*`);
  }

  /** Installs it where it is not as all files expect it. Resolves when only the new webhook answers, and the node has the policy. */
  async install(): Promise<void> {
    if (this.#isAsMeant) return;
    await this.upgrade();
    await this.#node.eventually(async () => {
      // A webhook that ends waits for the API server's connections, and closes each with its next answer.
      const asks = pod('asks', { 'hotmount.io/lxcfs': 'meminfo' });
      const { code, stderr } = await this.#node.tryWith('create', asks, '--dry-run=server');
      if (code !== 0) throw new Error(`the webhook does not answer yet: ${stderr}`);
      const { items } = await this.#node.get('pods', '-n', NAMESPACE);
      const ending = items.filter(({ metadata }: V1Pod) => metadata?.deletionTimestamp);
      if (ending.length > 0) throw new Error(`${ending.length} old pods of hotmount's are still ending`);
    }, 120_000);
    // The kubelet brings it some seconds later, as a file.
    await this.#node.eventually(async () => {
      const { data } = await this.#node.get('configmap', 'hotmount-policy', '-n', NAMESPACE);
      const { policy } = await this.status();
      if (policy.digest !== digestOf(data['policy.yaml'])) throw new Error(`the node has the policy ${policy.digest}`);
    }, 120_000);
    this.#isAsMeant = true;
  }

  /** `helm upgrade --install --wait` with other values, or another chart. The next file gets the usual ones again. @returns what helm printed */
  async upgrade(values: JsonObject = {}, chart = CHART): Promise<string> {
    this.#isAsMeant = false;
    const usual = { editedPolicy: 'overwrite', policy: this.policy };
    return install(this.#node, ['--force-conflicts'], { ...usual, ...values }, chart);
  }

  /** For tests that have taken it away. */
  isGone(): void {
    this.#isAsMeant = false;
  }

  /** Runs a command as docs have it: kubectl in a namespace, or helm. @returns what it printed */
  async type(line: string, namespace?: string): Promise<string> {
    const [tool, ...words] = line.replace('charts/hotmount', CHART).split(/ +/);
    this.#isAsMeant &&= tool !== 'helm';
    if (tool === 'helm') return this.#node.helm(...words);
    if (tool === 'kubectl') return this.#node.kubectl(...(namespace ? ['-n', namespace] : []), ...words);
    throw new Error(`neither kubectl nor helm: ${line}`);
  }

  /** What the node daemon has to say about itself: `hotmount status -o json`. */
  // biome-ignore lint/suspicious/noExplicitAny: foreign JSON, of which each test looks at a few fields
  async status(): Promise<any> {
    const args = ['exec', '-n', NAMESPACE, 'daemonset/hotmount-node', '--', 'hotmount', 'status', '-o', 'json'];
    return JSON.parse(await this.#node.kubectl(...args));
  }
}
