import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { partitionType, SYSTEM_PARTITIONS, TABLE_BYTES } from '../../../src/linux/partition-table.ts';

describe('the type of a partition', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'hotmount-table-'));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  /** As sfdisk(8) writes it. */
  function table(script: string): Buffer {
    const image = join(dir, 'image');
    writeFileSync(image, '');
    truncateSync(image, 64 << 20);
    execFileSync('sfdisk', ['-q', image], { input: script, stdio: ['pipe', 'ignore', 'pipe'] });
    return readFileSync(image).subarray(0, TABLE_BYTES);
  }

  it('is read from a GPT, as Windows makes it', () => {
    const start = table(
      'label: gpt\nsize=8M, type=U\nsize=8M, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE\nsize=8M, type=L\n',
    );
    expect([1, 2, 3, 4].map((number) => partitionType(start, number, 512))).toEqual([
      'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
      'e3c9e316-0b5c-4db8-817d-f92df00215ae',
      '0fc63daf-8483-4772-8e79-3d69d8477de4',
      undefined,
    ]);
    expect(SYSTEM_PARTITIONS).toHaveProperty([partitionType(start, 1, 512) as string]);
  });

  it('is read from an MBR', () => {
    const start = table('label: dos\nsize=8M, type=c\nsize=8M, type=ef\n');
    expect([1, 2, 3, 5].map((number) => partitionType(start, number, 512))).toEqual([
      '0xc',
      '0xef',
      undefined,
      undefined,
    ]);
  });

  it('is unknown, and nothing is thrown, whatever is on the disk', () => {
    const signed = fc.uint8Array({ minLength: 600, maxLength: TABLE_BYTES }).map((bytes) => {
      const start = Buffer.from(bytes);
      start.writeUInt16LE(0xaa55, 510);
      start.writeUInt8(0xee, 450);
      start.write('EFI PART', 512);
      return start;
    });
    fc.assert(
      fc.property(
        fc.oneof(
          signed,
          fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
        ),
        fc.nat(200),
        (start, n) => {
          expect(partitionType(start, n + 1, 512) ?? '0x0').toMatch(/^(0x[0-9a-f]+|[0-9a-f-]{36})$/);
        },
      ),
    );
  });
});
