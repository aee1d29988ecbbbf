import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { selfSigned, startWebhook, type Webhook } from '../admission/index.ts';
import type { JsonObject, Labels } from '../contract/json.ts';
import { createLogger } from '../observability/logger.ts';
import { COMMAND } from '../observability/version.ts';
import { parsePolicy, readPolicyText } from '../policy/index.ts';
import { colorsFor } from './color.ts';
import { apiClient } from './demo/client.ts';
import type { showNode } from './demo/node.ts';
import { play } from './demo/play.ts';
import { SCENES, type Scene } from './demo/scenes.ts';
import { type Screen, showScene } from './demo/show.ts';
import { fail } from './fail.ts';
import { BadInput } from './inject/bad-input.ts';
import { findInputs } from './inject/inputs.ts';
import { parseManifests } from './inject/manifests.ts';
import { namespaceLabelsIn } from './inject/objects.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

const HELP = `
Examples:
  hotmount demo
  hotmount demo --no-node                       without root and runc

Exit codes: 0 all is as it should be; 1 something is not; 2 wrong usage.
`;

/** `hotmount demo`. Exit code 1 where anything is not as it should be. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('show what the webhook makes of the manifests in examples/, without a cluster')
    .option('--no-node', 'leave out the disk and the device in the container, which takes root and runc')
    .addHelpText('after', HELP)
    .action(async ({ node }: { node: boolean }, command: Command) => {
      const { columns = 100 } = process.stdout;
      const colors = colorsFor(process.stdout);
      const write = (text: string) => void process.stdout.write(text);
      try {
        const nodeHalf = node ? (await import('./demo/node.ts')).showNode : undefined;
        process.exitCode = (await demo(write, { colors, width: Math.min(columns, 120) }, { nodeHalf })) ? 0 : 1;
      } catch (error) {
        if (!(error instanceof BadInput)) return fail(command, error);
        command.error(`error: the demo plays the manifests in examples/, run it in a checkout: ${error.message}`, {
          exitCode: 1,
        });
      }
    });
}

interface DemoOptions {
  /** The directory. */
  readonly examples?: string;
  /** Plays the last scene: what is on the node. */
  readonly nodeHalf?: typeof showNode | undefined;
}

/** Resolves to whether everything was as it should be. Rejects if the examples cannot be read, or the webhook does not start. */
export async function demo(
  write: (text: string) => void,
  screen: Screen,
  { examples = EXAMPLES, nodeHalf }: DemoOptions = {},
): Promise<boolean> {
  const { colors } = screen;
  const namespaces = namespaceLabelsIn(await read(join(examples, 'namespaces.yaml')));
  const webhook = await start(join(examples, 'policy.yaml'), (namespace) => namespaces.get(namespace));
  const api = apiClient(webhook.url, webhook.ca);
  const problems: Scene[] = [];
  let reviews = 0;
  try {
    write(`${introduction(webhook)}\n`);
    for (const [i, scene] of SCENES.entries()) {
      const objects = await read(join(examples, scene.file));
      const take = await play(scene, objects, api);
      reviews += take.reviews.length;
      if (take.problem !== undefined) problems.push(scene);
      write(`\n${showScene(scene, objects, take, i + 1, screen)}`);
    }
  } finally {
    api.close();
    await webhook.close();
  }
  const wrong = problems.map(({ file }) => file);
  if (nodeHalf && !(await nodeHalf(write, screen, SCENES.length + 1))) wrong.push('the devices in the container');
  if (wrong.length > 0) {
    write(`\n${colors.red(`Not as it should be: ${wrong.join(', ')}. Please report this.`)}\n`);
    return false;
  }
  write(`\n${ending(reviews, screen)}\n`);
  return true;
}

function start(policyFile: string, namespaceLabels: (namespace: string) => Labels | undefined): Promise<Webhook> {
  const policy = parsePolicy(readPolicyText(policyFile), { file: policyFile });
  return startWebhook({
    policy: { current: () => policy, close() {} },
    certificates: selfSigned(),
    log: createLogger('error'),
    namespaceLabels,
    host: '127.0.0.1',
  });
}

async function read(file: string): Promise<JsonObject[]> {
  const inputs = await findInputs([file], { recursive: false, readStdin: async () => Buffer.of() });
  return inputs.flatMap((input) =>
    parseManifests(input.read()).manifests.flatMap(({ value }) => (value ? [value] : [])),
  );
}

const introduction = ({ url }: Webhook): string =>
  `The webhook is serving in this process, at ${url}, with a CA of its own and examples/policy.yaml.
This is what it makes of the examples when they are sent to it over TLS, as an API server would.`;

const ending = (reviews: number, { colors }: Screen): string =>
  `All as it should be: ${reviews} reviews, and a second pass over each pod changed nothing.
Next, try it on a manifest of your own: ${colors.bold(`${COMMAND} inject -f FILE -o diff --explain`)}`;
