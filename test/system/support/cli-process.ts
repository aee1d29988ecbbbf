import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { until } from './rig.ts';

export const CLI = fileURLToPath(new URL('../../../src/cli.ts', import.meta.url));

/** A command of hotmount that runs until it is told to end, as it is started on a node; and can be started again. */
export class CliProcess {
  #child: ChildProcess | undefined;
  /** What is started: another state's may be. */
  cli = CLI;
  /** All that it wrote to its log, over all its lives. */
  log = '';

  get pid(): number {
    return this.#child?.pid as number;
  }

  protected launch(args: readonly string[], env: NodeJS.ProcessEnv = process.env): void {
    this.#child = spawn(process.execPath, [this.cli, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
  }

  get hasEnded(): boolean {
    return !this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /**
   * Waits until its log says so: a line reaches the test a moment after what it is about, also after the end of the process.
   * @param from index into the log: what was said before does not count
   */
  logged(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return until(`the log says ${pattern}`, () => pattern.exec(this.log.slice(from)));
  }

  /** Waits until it has ended by itself. @returns its exit code */
  async ended(): Promise<number | null> {
    if (!this.hasEnded) await once(this.#child as ChildProcess, 'exit');
    return this.#child?.exitCode ?? null;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.hasEnded) this.#child?.kill(signal);
    return this.ended();
  }

  kill(): Promise<number | null> {
    return this.stop('SIGKILL');
  }
}
