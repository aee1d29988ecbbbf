import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

const KEPT = 64 * 1024;
const KILL_AFTER_MS = 10_000;

/** A child process of the tests that serves until it is stopped; what it says last is kept for messages. */
export class ServerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  #output = '';

  constructor(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.name = name;
    this.#child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT);
      });
    }
    this.#child.on('error', (error) => {
      this.#output += String(error);
    });
    running.add(this.#child);
    this.#child.once('exit', () => running.delete(this.#child));
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** null: it runs, or a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  get output(): string {
    return this.#output;
  }

  /** Polls until `check` is true. Rejects with the last output where the process ends first, or it takes too long. */
  async ready(check: () => Promise<boolean>, timeoutMs = 120_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!(await check().catch(() => false))) {
      if (!this.running) throw new Error(`${this.name} ended:\n${this.#output.slice(-4_000)}`);
      if (Date.now() > deadline) throw new Error(`${this.name} is not ready:\n${this.#output.slice(-4_000)}`);
      await sleep(50);
    }
  }

  /** Ends it with a signal, and with SIGKILL where that takes too long. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', killAfterMs = KILL_AFTER_MS): Promise<void> {
    if (!this.running) return;
    // Not before all that it has said is here.
    const gone = once(this.#child, 'close');
    this.#child.kill(signal);
    const overdue = setTimeout(() => this.#child.kill('SIGKILL'), killAfterMs);
    await gone;
    clearTimeout(overdue);
  }
}

/** Nothing outlives the tests, however they end. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
