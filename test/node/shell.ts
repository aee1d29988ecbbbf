/** A node to try things on by hand: `node test/node/shell.ts up | install [HELM ARGS…] | kubectl … | helm … | ctr … | sh … | logs NAME | down`. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { succeed } from '../execute.ts';
import { prepareBinaries } from './binaries.ts';
import { CONTAINERD_SOCKET } from './configuration.ts';
import { prepareHotmountImage } from './hotmount-image.ts';
import { install } from './installation.ts';
import { Machine } from './machine.ts';
import { DIRECTORY, Node } from './node.ts';

const say = (line: string) => void process.stderr.write(`node: ${line}\n`);
const [verb = '', ...rest] = process.argv.slice(2);
const binaries = await prepareBinaries(say);

async function found(): Promise<Node> {
  const node = await Node.find(binaries);
  if (node) return node;
  say('no node is running: `up` starts one');
  process.exit(1);
}

/** With the terminal as it is, so that `kubectl edit` and a shell work. */
async function hand(command: readonly string[]): Promise<never> {
  const { machine, kubeconfig } = await found();
  const [file = '', ...args] = [...machine.enter, ...command, ...rest];
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  process.exit(spawnSync(file, args, { stdio: 'inherit', env }).status ?? 1);
}

const verbs: Record<string, () => Promise<unknown>> = {
  up: async () => {
    const node = await Node.start(binaries, false);
    say(await node.kubectl('get', 'nodes'));
  },
  install: async () => {
    const node = await found();
    await node.importImages(await prepareHotmountImage(say));
    say(await install(node, rest));
  },
  kubectl: () => hand([binaries.kubectl]),
  helm: () => hand([binaries.helm]),
  ctr: () => hand([join(binaries.containerd, 'ctr'), '-a', CONTAINERD_SOCKET, '-n', 'k8s.io']),
  sh: () => hand(rest.length > 0 ? ['sh', '-c'] : ['bash']),
  logs: async () => say(await succeed(['tail', '-n', '50', join(DIRECTORY, `${rest[0]}.log`)])),
  down: async () => {
    const left = await Machine.find(DIRECTORY);
    if (left?.owner) throw new Error(`process ${left.owner} runs tests with that node`);
    await left?.machine.stop();
  },
};

if (!verbs[verb]) {
  say(`one of ${Object.keys(verbs).join(', ')}`);
  process.exit(2);
}
await verbs[verb]();
