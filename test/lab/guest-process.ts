import type { Report, Request } from './messages.ts';

/** How a process in the guest ended: `code` is null when a signal ended it. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process running in the guest. */
export class GuestProcess {
  /** What was asked for, for messages. */
  readonly command: string;
  /** Its pid in the guest, once it runs. Rejects when it could not be started or the guest ended. */
  readonly pid: Promise<number>;
  /** Its end. Rejects when it could not be started or the guest ended. */
  readonly exited: Promise<Exit>;
  #id: number;
  #send: (request: Request) => void;
  #out: Uint8Array[] = [];
  #err: Uint8Array[] = [];
  #listeners = new Set<() => void>();
  #pid = Promise.withResolvers<number>();
  #exited = Promise.withResolvers<Exit>();

  constructor(id: number, command: string, send: (request: Request) => void) {
    this.#id = id;
    this.command = command;
    this.#send = send;
    this.pid = this.#pid.promise;
    this.exited = this.#exited.promise;
    this.pid.catch(() => {});
    this.exited.catch(() => {});
  }

  /** What it has written to standard output so far. */
  get stdout(): string {
    return Buffer.concat(this.#out).toString();
  }

  /** What it has written to standard error so far. */
  get stderr(): string {
    return Buffer.concat(this.#err).toString();
  }

  write(data: string | Uint8Array): void {
    this.#send({ type: 'stdin', id: this.#id, data: Buffer.from(data as Uint8Array).toString('base64') });
  }

  /** Closes its standard input. */
  end(): void {
    this.#send({ type: 'stdin-end', id: this.#id });
  }

  /** Sends a signal to it and to whatever it has started and kept in its process group. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#send({ type: 'kill', id: this.#id, signal });
  }

  /**
   * Waits until its standard output or standard error matches, from the beginning on, and gives the match.
   * @throws Error with all it wrote, when it ends or the time is up without a match
   */
  async waitForOutput(pattern: RegExp, timeoutMs = 240_000): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const look = () => {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (match) resolve(match);
    };
    const giveUp = (why: string) => reject(this.error(`${why} without writing ${pattern}`));
    const timer = setTimeout(() => giveUp(`ran for ${timeoutMs} ms`), timeoutMs);
    this.#listeners.add(look);
    this.exited.then(() => giveUp('ended'), reject);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }

  /** An error about this process: its command, what happened and what it has written. */
  error(happened: string): Error {
    const written = [this.stdout && `stdout: ${this.stdout}`, this.stderr && `stderr: ${this.stderr}`].filter(Boolean);
    return new Error([`in the guest: ${this.command}: ${happened}`, ...written].join('\n').trimEnd());
  }

  /** For the agent's client: the guest says something about this process. */
  receive(report: Exclude<Report, { type: 'ready' }>): void {
    switch (report.type) {
      case 'started':
        this.#pid.resolve(report.pid);
        break;
      case 'failed':
        this.fail(this.error(report.message));
        break;
      case 'exited':
        this.#exited.resolve({ code: report.code, signal: report.signal });
        break;
      default:
        (report.type === 'stdout' ? this.#out : this.#err).push(Buffer.from(report.data, 'base64'));
        for (const listener of this.#listeners) listener();
    }
  }

  /** For the agent's client: nothing more will come. */
  fail(error: Error): void {
    this.#pid.reject(error);
    this.#exited.reject(error);
  }
}
