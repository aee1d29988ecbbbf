import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { countNames, featureText, removeFeatureFile, writeFeatureFile } from '../../../src/node/feature-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'hotmount-features-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('the feature file', () => {
  it('says of each class that it is there, and how many there are', () => {
    expect(featureText(countNames(['usb', 'serial', 'usb']))).toBe(
      'hotmount.io/serial=true\nhotmount.io/serial.count=1\nhotmount.io/usb=true\nhotmount.io/usb.count=2\n',
    );
    expect(featureText(new Map([['usb', 0]]))).toBe('');
  });

  it('is replaced as a whole, only when it changes, and leaves nothing beside it', () => {
    const path = join(directory, 'hotmount');
    writeFeatureFile(path, 'a=true\n');
    const { ino } = statSync(path);
    writeFeatureFile(path, 'a=true\n');
    expect(statSync(path).ino).toBe(ino);
    writeFeatureFile(path, '');
    expect(readFileSync(path, 'utf8')).toBe('');
    expect(readdirSync(directory)).toEqual(['hotmount']);
    removeFeatureFile(path);
    removeFeatureFile(path);
    expect(readdirSync(directory)).toEqual([]);
  });
});
