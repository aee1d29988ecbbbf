import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { enumerate, printable, printableLines } from '../../../src/contract/text.ts';

describe('foreign text', () => {
  it('is cut between characters', () => {
    expect(printable('abc', 3)).toBe('abc');
    expect(printable('abcd', 3)).toBe('ab…');
    expect(printable('a😀bc', 3)).toBe('a…');
  });

  it.each([
    ['C0 controls and line ends', 'a\u001b[2J\r\nb\t', 'a\ufffd[2J\ufffd\ufffdb\ufffd'],
    ['C1 controls', '\u0085\u009b31m', '\ufffd\ufffd31m'],
    ['bidi controls', 'a\u202eb\u2066c', 'a\ufffdb\ufffdc'],
    ['what nobody sees', 'app\u200b\ufeff', 'app\ufffd\ufffd'],
    ['line separators', 'a\u2028b\u2029', 'a\ufffdb\ufffd'],
    ['lone surrogates', '\ud800a', '\ufffda'],
  ])('shows that there are %s, and has them no more', (_, text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('comes through as it is where a person can read it', () => {
    const text = 'Größe 😀 データ/a\\b "c"';
    expect(printable(text)).toBe(text);
  });

  it('keeps its lines and tabs where it has some', () => {
    expect(printableLines('a\n\tb\u009b\n')).toBe('a\n\tb\ufffd\n');
  });

  it('is well-formed and within its limit, whatever it was', () => {
    const unit = fc.nat(0xffff).map((code) => String.fromCharCode(code));
    fc.assert(
      fc.property(fc.string({ unit }), fc.integer({ min: 1, max: 20 }), (text, max) => {
        const shown = printable(text, max);
        expect(shown.length).toBeLessThanOrEqual(max);
        expect(shown.isWellFormed()).toBe(true);
        expect(shown).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
      }),
    );
  });
});

it('words are listed as one would say them', () => {
  expect(enumerate([], 'or')).toBe('');
  expect(enumerate(['a'], 'or')).toBe('a');
  expect(enumerate(['a', 'b', 'c'], 'and')).toBe('a, b and c');
});
