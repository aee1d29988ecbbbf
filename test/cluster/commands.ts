import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../src/contract/json.ts';
import { execute, type Result } from '../execute.ts';

export type { Result } from '../execute.ts';

/** Runs a program to its end, with something on its standard input. */
export type Run = (command: readonly string[], input: string, env: NodeJS.ProcessEnv) => Promise<Result>;

/** kubectl and helm, as an admin of one cluster uses them. */
export class Commands {
  readonly kubeconfig: string;
  readonly #tools: { readonly kubectl: string; readonly helm: string };
  readonly #execute: Run;

  /** @param run what has them run elsewhere than here */
  constructor(tools: { readonly kubectl: string; readonly helm: string }, kubeconfig: string, run: Run = execute) {
    this.#tools = tools;
    this.kubeconfig = kubeconfig;
    this.#execute = run;
  }

  /** Standard output. Rejects with what kubectl said where it failed. */
  kubectl(...args: string[]): Promise<string> {
    return succeed('kubectl', args, this.tryKubectl(args));
  }

  helm(...args: string[]): Promise<string> {
    return succeed('helm', args, this.tryHelm(args));
  }

  /** kubectl, whatever comes of it. `input` goes to its standard input. */
  tryKubectl(args: readonly string[], input = ''): Promise<Result> {
    return this.#run(this.#tools.kubectl, args, input);
  }

  tryHelm(args: readonly string[], input = ''): Promise<Result> {
    return this.#run(this.#tools.helm, args, input);
  }

  /** `kubectl create`, `apply` … of objects, with what it prints on both channels. */
  tryWith(verb: string, objects: JsonObject | readonly JsonObject[], ...args: string[]): Promise<Result> {
    const list = Array.isArray(objects) ? { apiVersion: 'v1', kind: 'List', items: objects } : objects;
    return this.tryKubectl([verb, '-f', '-', ...args], JSON.stringify(list));
  }

  async apply(objects: JsonObject | readonly JsonObject[], ...args: string[]): Promise<void> {
    await succeed('kubectl', ['apply'], this.tryWith('apply', objects, ...args));
  }

  /** One object, or a list of them. */
  // biome-ignore lint/suspicious/noExplicitAny: foreign JSON, of which each test looks at a few fields
  async get(...args: string[]): Promise<any> {
    return JSON.parse(await this.kubectl('get', '-o', 'json', ...args));
  }

  /** Tries again until it no longer throws; then what it returned. Rejects with the last error. */
  async eventually<T>(attempt: () => Promise<T>, timeoutMs = 90_000): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await sleep(100);
      }
    }
  }

  #run(tool: string, args: readonly string[], input: string): Promise<Result> {
    const env = { ...process.env, KUBECONFIG: this.kubeconfig, HELM_NO_PLUGINS: '1' };
    return this.#execute([tool, ...args], input, env);
  }
}

async function succeed(name: string, args: readonly string[], result: Promise<Result>): Promise<string> {
  const { code, stdout, stderr } = await result;
  if (code === 0) return stdout;
  throw new Error(`${name} ${args.join(' ').slice(0, 200)} failed with ${code}:\n${stderr || stdout}`);
}
