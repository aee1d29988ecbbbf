import type { IncomingMessage } from 'node:http';
import { heaviest, type Share, sourceOf } from '../../http/heaviest.ts';

/** API servers allow requests of 3 MiB, and a review may hold the object twice, with escapes. */
export const BODY_LIMIT = 7 * 1024 * 1024;
const FIRST_CAPACITY = 32 * 1024;

export class BodyTooLargeError extends Error {
  override readonly name = 'BodyTooLargeError';

  constructor() {
    super(`the body is larger than ${BODY_LIMIT} bytes (7 MiB)`);
  }
}

/** Each piece costs as much time as a large one: so many are taken, and another for so many bytes. Go's TLS sends 1,400 at least. */
const FREE_PIECES = 64;
const BYTES_A_PIECE = 512;

export class BodyInPiecesError extends Error {
  override readonly name = 'BodyInPiecesError';

  constructor() {
    super('the body comes in too many small pieces');
  }
}

/** There is no memory for this body: see Bodies. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';

  constructor() {
    super('the bodies of other requests take all the memory that there is for bodies');
  }
}

/** A body on its way, or complete and not yet answered. */
class Body implements Share {
  readonly source: string;
  /** Of the whole body, where its sender has said that. */
  readonly #announced: number | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;
  #owned = false;
  /** Gives it up; undefined where it cannot be, or has been. */
  abandon: (() => void) | undefined;

  constructor({ socket, headers }: IncomingMessage) {
    this.source = sourceOf(socket.remoteAddress);
    const announced = headers['content-length'];
    this.#announced = announced === undefined ? undefined : Number(announced);
  }

  get tooLarge(): boolean {
    return (this.#announced ?? this.#length) > BODY_LIMIT;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Memory that it takes, or will take, in bytes: what is announced counts at once, so that a flood is cut before it is received. */
  get weight(): number {
    return this.abandon ? Math.max(this.#announced ?? 0, this.#bytes.length) : this.#bytes.length;
  }

  /** What `weight` has to become to take so many bytes more. */
  capacityFor(more: number): number {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length || needed === this.#announced) return Math.max(needed, this.#bytes.length);
    return Math.min(Math.max(FIRST_CAPACITY, 2 ** Math.ceil(Math.log2(needed))), this.#announced ?? BODY_LIMIT);
  }

  add(chunk: Buffer, capacity: number): void {
    if (this.#length === 0 && chunk.length === capacity) {
      // Mostly a body comes in one piece, and needs no copy.
      this.#bytes = chunk;
    } else {
      if (capacity > this.#bytes.length) this.#moveTo(capacity);
      chunk.copy(this.#bytes, this.#length);
    }
    this.#length += chunk.length;
  }

  /** Gives its memory back at once: garbage is collected later, and would count until then. */
  free(): void {
    if (this.#owned) (this.#bytes.buffer as ArrayBuffer).transfer(0);
    this.#owned = false;
    this.#bytes = Buffer.alloc(0);
    this.#length = 0;
  }

  #moveTo(capacity: number): void {
    // Many small chunks would each hold more memory than they have bytes: so they are copied.
    const bytes = Buffer.allocUnsafeSlow(capacity);
    const length = this.#length;
    this.#bytes.copy(bytes, 0, 0, length);
    this.free();
    this.#bytes = bytes;
    this.#length = length;
    this.#owned = true;
  }
}

/**
 * Reads the bodies of requests into bounded memory: all of them together take no more than `max` bytes, from the first byte of a body
 * until its request is answered. Where there is no more, an unfinished one is given up: the oldest from the address that holds the most.
 * API servers send a body at once, so that what is unfinished for long is not theirs.
 */
export class Bodies {
  readonly #max: number;
  readonly #onAbandoned: () => void;
  readonly #bodies = new Map<IncomingMessage, Body>();

  constructor(max: number, onAbandoned: () => void = () => {}) {
    this.#max = max;
    this.#onAbandoned = onAbandoned;
  }

  /** Bytes of memory that are held now. */
  get held(): number {
    let held = 0;
    for (const { weight } of this.#bodies.values()) held += weight;
    return held;
  }

  /**
   * The whole body, there until it is released. Rejects with BodyTooLargeError, BodyInPiecesError, OverloadedError, or what the stream fails with; nothing is
   * to be released then.
   */
  read(request: IncomingMessage): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const body = new Body(request);
    let pieces = 0;
    const stop = (error: Error): void => {
      request.off('data', take).off('end', finish).off('error', stop).off('close', leave);
      body.abandon = undefined;
      this.release(request);
      reject(error);
    };
    const leave = (): void => stop(new Error('the client has gone'));
    const finish = (): void => {
      request.off('close', leave);
      body.abandon = undefined;
      resolve(body.bytes);
    };
    const take = (chunk: Buffer): void => {
      if (body.bytes.length + chunk.length > BODY_LIMIT) {
        stop(new BodyTooLargeError());
        return;
      }
      pieces++;
      if (pieces > FREE_PIECES + body.bytes.length / BYTES_A_PIECE) {
        stop(new BodyInPiecesError());
        // Without an answer: to read on until there is one would take as long as to read the body.
        request.destroy();
        return;
      }
      const capacity = body.capacityFor(chunk.length);
      this.#makeRoom(body, Math.max(0, capacity - body.weight));
      if (body.abandon) body.add(chunk, capacity);
    };
    if (body.tooLarge) return Promise.reject(new BodyTooLargeError());
    body.abandon = () => {
      this.#onAbandoned();
      stop(new OverloadedError());
    };
    this.#bodies.set(request, body);
    request.on('data', take).on('end', finish).on('error', stop).on('close', leave);
    this.#makeRoom(body, 0);
    return promise;
  }

  /**
   * Waits for what the answer to a complete body takes. Meanwhile, that body can be given up, like one that is unfinished: rejects with
   * OverloadedError then.
   */
  async during<T>(request: IncomingMessage, awaited: Promise<T>): Promise<T> {
    const body = this.#bodies.get(request);
    if (!body) return awaited;
    const { promise: abandoned, reject } = Promise.withResolvers<never>();
    body.abandon = () => {
      body.abandon = undefined;
      this.#onAbandoned();
      this.release(request);
      reject(new OverloadedError());
    };
    try {
      return await Promise.race([awaited, abandoned]);
    } finally {
      body.abandon = undefined;
    }
  }

  /** The request is answered, or its client gone: its bytes are no longer to be looked at. */
  release(request: IncomingMessage): void {
    this.#bodies.get(request)?.free();
    this.#bodies.delete(request);
  }

  /** Gives up what has to be given up for so many bytes more, `body` itself where nothing else is left. */
  #makeRoom(body: Body, more: number): void {
    while (this.held + more > this.#max && body.abandon) {
      const unfinished = [...this.#bodies.values()].filter(
        (each) => each.abandon && (each.weight > 0 || each === body),
      );
      heaviest(unfinished)?.abandon?.();
    }
  }
}
