import { write, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const STDERR = 2;
/** Bytes that wait for a reader of the log who does not read; what comes after is lost, so that the program is not. */
const MAX_BACKLOG = 16 << 20;
/** A line waits this long for company: a write of its own costs more than making it. ms. */
const FLUSH_AFTER = 20;
/** After a write that failed. ms. */
const RETRY_AFTER = 100;
/** How often a program that ends tries to write what is left. */
const LAST_TRIES = 10;

/**
 * Writes lines to stderr, in batches and off the main thread. What cannot be written, on a full disk or to a reader who does not read, is
 * kept up to a limit and tried again. A program that ends leaves it after a second: sonic-boom, which pino brings along, goes on for ever
 * (its flushSync).
 */
export class StderrStream {
  #lines: string[] = [];
  #length = 0;
  /** What the thread pool writes just now. */
  #inFlight: Buffer | undefined;
  /** What is left of writes that failed, or wrote a part only. */
  #rest: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting: (() => void)[] = [];
  #isEnding = false;

  write(line: string): void {
    if (this.#isEnding) return;
    const waiting = this.#length + this.#rest.length + (this.#inFlight?.length ?? 0);
    if (waiting + line.length > MAX_BACKLOG) return;
    this.#lines.push(line);
    this.#length += line.length;
    this.#flushIn(FLUSH_AFTER);
  }

  /** Calls back when all has been written so far, or a write has failed. */
  flush(callback?: () => void): void {
    if (callback) this.#waiting.push(callback);
    this.#flush();
  }

  /** Writes what is left, and takes no further line: the last words follow. Resolves when it has, or after a second. */
  async end(): Promise<void> {
    this.#isEnding = true;
    const written = new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#inFlight) await Promise.race([written, sleep(LAST_TRIES * RETRY_AFTER)]);
    this.flushSync();
  }

  /** As `end`, for a program that can wait for nothing: what is just being written may come after the last words. */
  endSync(): void {
    this.#isEnding = true;
    this.flushSync();
  }

  /** Writes what is left, now, but for what is being written anyway. Never throws. */
  flushSync(): void {
    let left = this.#take();
    for (let tries = 0; left.length > 0 && tries < LAST_TRIES; ) {
      try {
        left = left.subarray(writeSync(STDERR, left));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
        tries++;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_AFTER);
      }
    }
  }

  #flushIn(milliseconds: number): void {
    this.#timer ??= setTimeout(() => this.#flush(), milliseconds).unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#inFlight) return;
    const bytes = this.#take();
    if (bytes.length === 0) {
      this.#done();
      return;
    }
    this.#inFlight = bytes;
    write(STDERR, bytes, (error, written) => {
      this.#inFlight = undefined;
      this.#rest = bytes.subarray(error ? 0 : written);
      if (this.#isEnding) {
        this.#done();
        return;
      }
      if (!error) {
        this.#flush();
        return;
      }
      this.#done();
      this.#flushIn(RETRY_AFTER);
    });
  }

  /** All that waits to be written, in one piece. */
  #take(): Buffer {
    const bytes = Buffer.concat([this.#rest, Buffer.from(this.#lines.join(''))]);
    this.#rest = Buffer.alloc(0);
    this.#lines = [];
    this.#length = 0;
    return bytes;
  }

  #done(): void {
    for (const callback of this.#waiting.splice(0)) callback();
  }
}
