import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nameCandidates, safeName } from '../../../../src/node/block/names.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes).toString()),
);

describe('safeName', () => {
  it.each([
    ['STICK', 'STICK'],
    ['My Photos', 'My_Photos'],
    ['Übung 磁盘', 'Übung_磁盘'],
    ['../../etc', 'etc'],
    ['a/b', 'a_b'],
    ['$(reboot)', 'reboot'],
    ['-o', 'o'],
    ['.hidden', 'hidden'],
    ['fdp\u202eexe', 'fdp_exe'],
    ['a\u0301', '\u00e1'],
  ])('makes %j to %j', (text, name) => {
    expect(safeName(text)).toBe(name);
  });

  it.each(['', '.', '..', '/', '\n', '\u200b', '💾', '\ufffd'.repeat(16), '\u0301', '---'])(
    'makes no name of %j',
    (text) => {
      expect(safeName(text)).toBeUndefined();
    },
  );

  it('makes a path component that is safe and readable, whatever the text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const name = safeName(text);
        if (name === undefined) return;
        expect(name).toMatch(/^[\p{L}\p{N}][\p{L}\p{N}\p{M}._+@=-]*$/u);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(96);
        expect(name.isWellFormed()).toBe(true);
        expect(safeName(name)).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  it('cuts a long label between characters', () => {
    expect(safeName('磁'.repeat(100))).toBe('磁'.repeat(32));
  });
});

describe('nameCandidates', () => {
  const source = { label: 'STICK', uuid: 'ab-cd', devname: 'sdb1' };

  it('begins with the first of nameBy that the disk has', () => {
    expect(nameCandidates(source, ['uuid', 'label']).next().value).toBe('ab-cd');
    expect(nameCandidates({ ...source, label: '..' }, ['label', 'uuid', 'devname']).next().value).toBe('ab-cd');
    expect(nameCandidates({ ...source, label: '', uuid: '' }, ['label']).next().value).toBe('sdb1');
  });

  it('adds what is the disk’s own where the name is taken', () => {
    expect([...nameCandidates(source, ['label'])].slice(0, 4)).toEqual([
      'STICK',
      'STICK-ab-cd',
      'STICK-sdb1',
      'STICK-2',
    ]);
  });

  it('are safe, whatever the disk says', () => {
    fc.assert(
      fc.property(anyText, anyText, (label, uuid) => {
        const names = [...nameCandidates({ label, uuid, devname: 'sdb1' }, ['label', 'uuid', 'devname'])];
        for (const name of names) {
          expect(name).toMatch(/^[^/\0.][^/\0]*$/);
          expect(Buffer.byteLength(name)).toBeLessThan(255);
        }
      }),
    );
  });
});
