import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { didYouMean, quote } from '../../../src/contract/suggest.ts';
import { hostileText } from '../injection/generators/basics.ts';

describe('a suggestion', () => {
  it('is the nearest of the known words', () => {
    expect(didYouMean('memifno', ['meminfo', 'cpuinfo'])).toBe('; did you mean "meminfo"?');
    expect(didYouMean('meminfo', ['meminfo'])).toBe('; did you mean "meminfo"?');
  });

  it('is not made for words that are not near, nor of nothing', () => {
    expect(didYouMean('privileged', ['meminfo', 'cpuinfo'])).toBe('');
    expect(didYouMean('x', [])).toBe('');
    expect(didYouMean('ab', ['cd'])).toBe('');
  });

  it('is not looked for where the word is longer than any name', () => {
    expect(didYouMean('x'.repeat(65), ['x'.repeat(64)])).toBe('');
  });

  it('leaves the known words as they are', () => {
    const known = Object.freeze(['b', 'a']);
    expect(didYouMean('a', known)).toBe('; did you mean "a"?');
  });
});

describe('a foreign value in a message', () => {
  it.each([
    ['a', '"a"'],
    ['', '""'],
    ['a "b"\n', '"a \\"b\\"\\n"'],
    [true, 'true'],
    [null, 'null'],
    [undefined, 'undefined'],
    [1.5, '1.5'],
  ])('%j is %s', (value, quoted) => expect(quote(value)).toBe(quoted));

  it('is cut where it is long', () => {
    expect(quote('x'.repeat(80))).toBe(`"${'x'.repeat(80)}"`);
    expect(quote('x'.repeat(81))).toBe(`"${'x'.repeat(77)}…"`);
  });

  it('is short and on one line, whatever it is, and never throws', () => {
    const values = fc.oneof(hostileText, fc.anything({ withBigInt: true, withNullPrototype: true }));
    fc.assert(
      fc.property(values, (value) => {
        expect(quote(value)).toMatch(/^[^\p{Cc}\u2028]{1,500}$/u);
      }),
    );
  });
});
