import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bodies, BodyInPiecesError, BodyTooLargeError, OverloadedError } from '../../../src/admission/server/bodies.ts';

/** The part of a request that matters: a stream, headers, an address. */
function fakeRequest(remoteAddress = '10.0.0.1', contentLength?: number): IncomingMessage & PassThrough {
  const headers = contentLength === undefined ? {} : { 'content-length': String(contentLength) };
  return Object.assign(new PassThrough(), { headers, socket: { remoteAddress } }) as never;
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('bodies', () => {
  it('come out as they went in, in whatever pieces, and leave nothing behind', async () => {
    const piece = fc.uint8Array({ minLength: 1, maxLength: 50_000 });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.boolean(), async (pieces, announced) => {
        const bodies = new Bodies(1_000_000);
        const whole = Buffer.concat(pieces);
        const request = fakeRequest('10.0.0.1', announced ? whole.length : undefined);
        const reading = bodies.read(request);
        for (const each of pieces) request.write(Buffer.from(each));
        request.end();
        expect((await reading).equals(whole)).toBe(true);
        expect(bodies.held).toBeGreaterThanOrEqual(whole.length);
        bodies.release(request);
        expect(bodies.held).toBe(0);
      }),
    );
  });

  it('never take more memory together than they may: the oldest of the address with the most is given up', async () => {
    const bodies = new Bodies(100_000);
    const [first, second, other] = [fakeRequest('10.0.0.1'), fakeRequest('10.0.0.1'), fakeRequest('10.0.0.2')];
    const readings = [first, second, other].map((request) => bodies.read(request));
    const settled = Promise.allSettled(readings);
    for (const request of [first, second, other]) {
      request.write(Buffer.alloc(32_000));
      await turn();
      expect(bodies.held).toBeLessThanOrEqual(100_000);
    }
    other.write(Buffer.alloc(20_000));
    await turn();
    expect(bodies.held).toBeLessThanOrEqual(100_000);
    second.end();
    other.end();
    const [one, two, three] = await settled;
    expect(one).toMatchObject({ status: 'rejected', reason: expect.any(OverloadedError) });
    expect([two?.status, three?.status]).toEqual(['fulfilled', 'fulfilled']);
  });

  it('that are complete stay: where nothing else is left, the new one is refused', async () => {
    const bodies = new Bodies(50_000);
    const complete = fakeRequest('10.0.0.1', 40_000);
    const reading = bodies.read(complete);
    complete.end(Buffer.alloc(40_000, 'a'));
    const bytes = await reading;
    const late = fakeRequest('10.0.0.2');
    const refused = expect(bodies.read(late)).rejects.toThrow(OverloadedError);
    late.write(Buffer.alloc(20_000));
    await refused;
    expect(bytes.every((byte) => byte === 'a'.charCodeAt(0))).toBe(true);
  });

  it('that wait for something are given up like unfinished ones', async () => {
    const bodies = new Bodies(50_000);
    const waiting = fakeRequest('10.0.0.1', 40_000);
    const reading = bodies.read(waiting);
    waiting.end(Buffer.alloc(40_000));
    await reading;
    const refused = expect(bodies.during(waiting, new Promise(() => {}))).rejects.toThrow(OverloadedError);
    const late = fakeRequest('10.0.0.2', 20_000);
    const read = bodies.read(late);
    late.end(Buffer.alloc(20_000));
    await refused;
    expect(await read).toHaveLength(20_000);
    expect(await bodies.during(late, Promise.resolve('labels'))).toBe('labels');
  });

  it('are refused at once where they say that they are too large, and when they are', async () => {
    const bodies = new Bodies(100_000_000);
    await expect(bodies.read(fakeRequest('10.0.0.1', 8 * 2 ** 20))).rejects.toThrow(BodyTooLargeError);
    const silent = fakeRequest();
    const refused = expect(bodies.read(silent)).rejects.toThrow(BodyTooLargeError);
    for (let i = 0; i < 8; i++) silent.write(Buffer.alloc(2 ** 20));
    await refused;
    expect(bodies.held).toBe(0);
  });

  it('in pieces of a byte each are given up', async () => {
    const bodies = new Bodies(100_000);
    const request = fakeRequest();
    const refused = expect(bodies.read(request)).rejects.toThrow(BodyInPiecesError);
    for (let i = 0; i < 100; i++) request.write('x');
    await refused;
  });

  it('of clients that go leave nothing behind', async () => {
    const bodies = new Bodies(100_000);
    const request = fakeRequest();
    const failed = expect(bodies.read(request)).rejects.toThrow('the client has gone');
    request.write('x');
    request.destroy();
    await failed;
    expect(bodies.held).toBe(0);
  });
});
