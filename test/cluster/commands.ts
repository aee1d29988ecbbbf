import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../src/contract/json.ts';

/** What a program said and how it ended. */
export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** kubectl and helm, as an admin of one cluster uses them. */
export class Commands {
  readonly kubeconfig: string;
  readonly #tools: { readonly kubectl: string; readonly helm: string };

  constructor(tools: { readonly kubectl: string; readonly helm: string }, kubeconfig: string) {
    this.#tools = tools;
    this.kubeconfig = kubeconfig;
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
  async eventually<T>(attempt: () => Promise<T>, timeoutMs = 30_000): Promise<T> {
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

  #run(command: string, args: readonly string[], input: string): Promise<Result> {
    return new Promise((resolve) => {
      const env = { ...process.env, KUBECONFIG: this.kubeconfig, HELM_NO_PLUGINS: '1' };
      const child = execFile(command, args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ code, stdout, stderr: stderr || (error && code === 1 && !stdout ? error.message : '') });
      });
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
  }
}

async function succeed(name: string, args: readonly string[], result: Promise<Result>): Promise<string> {
  const { code, stdout, stderr } = await result;
  if (code === 0) return stdout;
  throw new Error(`${name} ${args.join(' ').slice(0, 200)} failed with ${code}:\n${stderr || stdout}`);
}
