import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { globProblem, literalOf, matchesGlobs } from '../../../src/policy/globs.ts';

const matches = (pattern: string, value: string): boolean => matchesGlobs([pattern], value);

describe('a glob', () => {
  it.each([
    ['edge-*', 'edge-', true],
    ['edge-*', 'edge-a/b', true],
    ['edge-*', 'edge', false],
    ['*', '', true],
    ['?', '', false],
    ['?', '🦊', true],
    ['sd[a-z]', 'sdb', true],
    ['sd[a-z]', 'sdB', false],
    ['sd[!a-c]', 'sdd', true],
    ['sd[!a-c]', 'sda', false],
    ['sd[!a-c]', 'sd', false],
    ['[a-]', '-', true],
    ['[\\]]', ']', true],
    ['[a\\-c]', 'b', false],
    ['[a\\-c]', '-', true],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['\\!x', '!x', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-b-c-d', false],
    ['', '', true],
    ['', 'x', false],
    ['Edge', 'edge', false],
  ])('%j on %j: %s', (pattern, value, expected) => {
    expect(globProblem(pattern)).toBeUndefined();
    expect(matches(pattern, value)).toBe(expected);
  });

  it.each([
    ['[', '"["'],
    ['a[b', '"["'],
    ['[b\\]', '"["'],
    ['[]', 'empty'],
    ['[!]', 'empty'],
    ['[^a]', '"[!"'],
    ['[z-a]', 'wrong way round'],
    ['a\\', 'escapes nothing'],
    ['!', 'excludes nothing'],
    ['![', '"["'],
  ])('%j is none, and the problem says what is wrong', (pattern, said) => {
    expect(globProblem(pattern)).toContain(said);
  });

  it('is a literal where it matches one text only', () => {
    expect(literalOf('/host-dev')).toBe('/host-dev');
    expect(literalOf('a\\*b')).toBe('a*b');
    expect(literalOf('a*b')).toBeUndefined();
    expect(literalOf('!a')).toBeUndefined();
  });
});

describe('a list of globs', () => {
  it('matches where any of them does and no exclusion does, in whatever order', () => {
    const list = ['!edge-x', 'edge-*', 'lab'];
    expect(['edge-a', 'edge-x', 'lab', 'prod'].filter((name) => matchesGlobs(list, name))).toEqual(['edge-a', 'lab']);
    expect(matchesGlobs(list.toReversed(), 'edge-x')).toBe(false);
  });

  it('of exclusions alone means everything else', () => {
    expect(['kube-system', 'web'].filter((name) => matchesGlobs(['!kube-*'], name))).toEqual(['web']);
  });

  it('that is empty matches nothing', () => {
    expect(matchesGlobs([], 'x')).toBe(false);
  });

  it('with a star for every character of a hostile label comes to an answer', () => {
    expect(matches(`${'*a'.repeat(500)}b`, 'a'.repeat(5_000))).toBe(false);
    expect(matches(`${'[a-b]*'.repeat(500)}c`, 'ab'.repeat(2_500))).toBe(false);
  });
});

/** As one would write it on paper: exponential, and for one character at a time. */
type Piece = string | { any: 'one' | 'run' } | { negated: boolean; from: string; to: string };
function naive(pieces: readonly Piece[], characters: readonly string[]): boolean {
  const [piece, ...rest] = pieces;
  if (piece === undefined) return characters.length === 0;
  if (typeof piece === 'object' && 'any' in piece && piece.any === 'run') {
    return naive(rest, characters) || (characters.length > 0 && naive(pieces, characters.slice(1)));
  }
  const [character, ...others] = characters;
  if (character === undefined) return false;
  const fits =
    typeof piece === 'string'
      ? piece === character
      : 'any' in piece || (piece.from <= character && character <= piece.to) !== piece.negated;
  return fits && naive(rest, others);
}

const letter = fc.constantFrom('a', 'b', 'c', '*', '?', '[', ']', '!', '-', '\\', '🦊');
const plain = fc.constantFrom('a', 'b', 'c');
const piece: fc.Arbitrary<Piece> = fc.oneof(
  letter,
  fc.constantFrom<Piece>({ any: 'one' }, { any: 'run' }),
  fc.tuple(fc.boolean(), plain, plain).map(([negated, ...ends]) => {
    const [from, to] = ends.sort() as [string, string];
    return { negated, from, to };
  }),
);
function write(pieces: readonly Piece[]): string {
  return pieces
    .map((p) => {
      if (typeof p === 'string') return /[a-c🦊]/u.test(p) ? p : `\\${p}`;
      if ('any' in p) return p.any === 'one' ? '?' : '*';
      return `[${p.negated ? '!' : ''}${p.from}-${p.to}]`;
    })
    .join('');
}

describe('the matcher', () => {
  it('answers as the naive definition does, for any pattern', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.array(letter, { maxLength: 8 }), (pieces, characters) => {
        const pattern = write(pieces);
        expect(globProblem(pattern)).toBeUndefined();
        expect(matches(pattern, characters.join(''))).toBe(naive(pieces, characters));
      }),
      { numRuns: 5_000 },
    );
  });

  it('takes any text as a pattern, or says what is wrong with it', () => {
    fc.assert(
      fc.property(fc.string({ unit: letter, maxLength: 12 }), fc.string({ unit: letter }), (pattern, value) => {
        if (globProblem(pattern) === undefined) expect(matches(pattern, value)).toBeTypeOf('boolean');
        else expect(globProblem(pattern)).not.toBe('');
      }),
      { numRuns: 5_000 },
    );
  });

  it('combines a list as the union of its patterns without its exclusions', () => {
    const list = fc.array(fc.tuple(fc.boolean(), fc.array(piece, { maxLength: 3 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(list, fc.array(letter, { maxLength: 4 }), (items, characters) => {
        const included = items.filter(([excludes]) => !excludes).map(([, pieces]) => pieces);
        const excluded = items
          .filter(([excludes, pieces]) => excludes && pieces.length > 0)
          .map(([, pieces]) => pieces);
        fc.pre(included.every((pieces) => pieces[0] !== '!'));
        const patterns = [...included.map(write), ...excluded.map((pieces) => `!${write(pieces)}`)];
        fc.pre(patterns.length > 0);
        const expected =
          (included.length === 0 || included.some((pieces) => naive(pieces, characters))) &&
          !excluded.some((pieces) => naive(pieces, characters));
        expect(matchesGlobs(patterns, characters.join(''))).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});
