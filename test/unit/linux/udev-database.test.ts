import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseUdevLinks, parseUdevProperties, readUdevRecord } from '../../../src/linux/udev-database.ts';

const directory = mkdtempSync(join(tmpdir(), 'hotmount-udev-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('udev’s database', () => {
  it('has properties, among other things', () => {
    const text =
      'S:serial/by-id/usb-FTDI\nI:123\nE:ID_MODEL=FT232R\nE:ID_PATH=a=b\nE:ID_MODEL=last\nG:systemd\nE:=x\nE:NOVALUE\nV:1\n';
    expect(Object.fromEntries(parseUdevProperties(text))).toEqual({ ID_MODEL: 'last', ID_PATH: 'a=b' });
    expect(parseUdevLinks(`${text}S:\nS:v4l/by-id/x\n`)).toEqual(['serial/by-id/usb-FTDI', 'v4l/by-id/x']);
  });

  it('is read up to a size that none of its files has', () => {
    writeFileSync(join(directory, 'c1:2'), 'E:ID_MODEL=x\n');
    writeFileSync(join(directory, 'c1:3'), `E:ID_MODEL=x\nE:MORE=${'y'.repeat(300_000)}\n`);
    expect(readUdevRecord(directory, 'c1:2').properties.get('ID_MODEL')).toBe('x');
    expect(readUdevRecord(directory, 'c1:3').properties.size).toBe(0);
    expect(readUdevRecord(directory, 'c1:4').properties.size).toBe(0);
  });
});
