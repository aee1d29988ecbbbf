import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { logicalTypes } from '../../../src/linux/logical-partitions.ts';

describe('the types of logical partitions', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'hotmount-logical-'));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  /** As sfdisk(8) writes it. */
  function disk(script: string): Buffer {
    const image = join(dir, 'image');
    writeFileSync(image, '');
    truncateSync(image, 64 << 20);
    execFileSync('sfdisk', ['-q', image], { input: script, stdio: ['pipe', 'ignore', 'pipe'] });
    return readFileSync(image);
  }
  const typesOf = (image: Buffer): Promise<string[]> =>
    logicalTypes(image.subarray(0, 512), async (sector) => image.subarray(sector * 512, (sector + 1) * 512));

  it('are those that the disk was partitioned with', async () => {
    const image = disk('label: dos\nsize=2M, type=83\ntype=f\nsize=2M, type=c\nsize=2M, type=ef\nsize=2M, type=83\n');
    expect(await typesOf(image)).toEqual(['0xc', '0xef', '0x83']);
  });

  it('are none without an extended partition', async () => {
    expect(await typesOf(disk('label: dos\nsize=2M, type=83\n'))).toEqual([]);
    expect(await typesOf(Buffer.alloc(512))).toEqual([]);
  });

  it('end, also where the chain leads round or nowhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 64, maxLength: 64 }), { minLength: 1, maxLength: 8 }),
        async (tables) => {
          const sectors = tables.map((table) => Buffer.concat([Buffer.alloc(446), table, Buffer.from([0x55, 0xaa])]));
          // Most bytes are no type of an extended partition.
          for (const sector of sectors) sector[446 + 4] = 5;
          const types = await logicalTypes(sectors[0] as Buffer, async (n) => sectors[n % sectors.length] as Buffer);
          expect(types.length).toBeLessThanOrEqual(300);
        },
      ),
    );
  });
});
