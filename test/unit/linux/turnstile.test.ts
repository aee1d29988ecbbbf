import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Turnstile } from '../../../src/linux/turnstile.ts';

describe('Turnstile', () => {
  it('lets in no more than it has slots, and everyone in the end', async () => {
    const turnstile = new Turnstile(3, 60_000);
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const leave = await turnstile.enter();
        most = Math.max(most, ++inside);
        await sleep(i % 3);
        inside--;
        leave();
        leave();
      }),
    );
    expect(most).toBe(3);
  });

  it('stops counting those who are stuck', async () => {
    const turnstile = new Turnstile(1, 5);
    await turnstile.enter();
    await turnstile.enter();
    (await turnstile.enter())();
  });
});
