import type { Socket } from 'node:net';
import { GuestProcess } from './guest-process.ts';
import { messageParser, type Report, type Request } from './messages.ts';

export interface CommandOptions {
  /** Environment variables on top of the guest's (PATH, HOME=/root, LANG=C.UTF-8). */
  env?: Record<string, string>;
  /** Working directory in the guest. Default: the checkout. */
  cwd?: string;
}

/** The test's end of the channel to the agent in the guest. */
export class GuestAgent {
  /** When the agent is up; rejects when the guest ends before. */
  get ready(): Promise<void> {
    return this.#becomeReady.promise;
  }
  #send: (request: Request) => void;
  #defaultDirectory: string;
  #processes = new Map<number, GuestProcess>();
  #next = 1;
  #ended: Error | undefined;
  #becomeReady: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(socket: Socket, defaultDirectory: string) {
    this.ready.catch(() => {});
    this.#defaultDirectory = defaultDirectory;
    this.#send = (request) => socket.write(`${JSON.stringify(request)}\n`);
    socket.on('error', () => {}); // the end of qemu is what is reported, through fail()
    socket.on(
      'data',
      messageParser<Report>((report) => this.#receive(report)),
    );
  }

  /** Starts a program without a shell; see `Lab.spawn`. */
  start(argv: string[], options: CommandOptions): GuestProcess {
    const id = this.#next++;
    const process = new GuestProcess(id, argv.at(-1) ?? '', this.#send);
    if (this.#ended) {
      process.fail(this.#ended);
    } else {
      this.#processes.set(id, process);
      this.#send({ cwd: this.#defaultDirectory, ...options, type: 'start', id, argv });
    }
    return process;
  }

  /** Kills everything that was started here and still runs, and waits for its end. */
  async killAll(): Promise<void> {
    const running = [...this.#processes.values()];
    for (const process of running) process.kill('SIGKILL');
    await Promise.allSettled(running.map((process) => process.exited));
  }

  /** When the agent is up once more; rejects when the guest ends before. What runs until then gets an error. */
  rebooted(): Promise<void> {
    this.#becomeReady = Promise.withResolvers();
    this.ready.catch(() => {});
    return this.ready;
  }

  /** The guest is no more: everything that waits for it gets this error, at once and from now on. */
  fail(error: Error): void {
    this.#ended = error;
    this.#becomeReady.reject(error);
    this.#failAll(error);
  }

  #failAll(error: Error): void {
    for (const process of this.#processes.values()) process.fail(error);
    this.#processes.clear();
  }

  #receive(report: Report): void {
    if (report.type === 'ready') {
      this.#failAll(new Error('the guest has rebooted'));
      this.#becomeReady.resolve();
      return;
    }
    this.#processes.get(report.id)?.receive(report);
    if (report.type === 'exited' || report.type === 'failed') this.#processes.delete(report.id);
  }
}
