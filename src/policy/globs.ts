/**
 * The globs of the policy: `*` any characters, `?` one, `[a-z]` one of these, `[!a-z]` one of the others, `\` before a character
 * takes it as it is. In a list, `!pattern` excludes; a list of exclusions alone means everything else. Case counts, and `*`
 * matches `/` too. Values are foreign (a disk's label), so that matching takes at most |pattern| × |value| steps, never more.
 */

type Token = { readonly literal: string } | typeof ANY_ONE | typeof ANY_RUN | CharacterClass;
interface CharacterClass {
  readonly negated: boolean;
  readonly ranges: readonly (readonly [from: string, to: string])[];
}
const ANY_ONE = '?';
const ANY_RUN = '*';

class GlobProblem extends Error {}

type Matcher = (value: string) => boolean;
const compiled = new WeakMap<readonly string[], Matcher>();

/** Whether the list of globs matches. Expects patterns without a `globProblem`; an empty list matches nothing. */
export function matchesGlobs(patterns: readonly string[], value: string): boolean {
  let matcher = compiled.get(patterns);
  if (matcher === undefined) {
    matcher = compileList(patterns);
    compiled.set(patterns, matcher);
  }
  return matcher(value);
}

/** The same for something that has several values: one of them must match, and none be excluded. */
export function matchesGlobsOfAny(patterns: readonly string[], values: readonly string[]): boolean {
  const [excluded, wanted] = [patterns.filter(isExclusion).map(withoutBang), patterns.filter((p) => !isExclusion(p))];
  return (
    (wanted.length === 0 || values.some((value) => matchesGlobs(wanted, value))) &&
    (excluded.length === 0 || !values.some((value) => matchesGlobs(excluded, value)))
  );
}

/** Why a text is not a glob, as a phrase that goes after the quoted text; undefined where it is one. */
export function globProblem(pattern: string): string | undefined {
  if (pattern === '!') return 'excludes nothing: a pattern must follow the "!"';
  try {
    tokenize(withoutBang(pattern));
    return undefined;
  } catch (error) {
    if (error instanceof GlobProblem) return error.message;
    throw error;
  }
}

export const isExclusion = (pattern: string): boolean => pattern.startsWith('!');

/** The one text that the glob matches, or undefined where it is an exclusion, matches several, or has a `globProblem`. */
export function literalOf(pattern: string): string | undefined {
  if (isExclusion(pattern) || globProblem(pattern) !== undefined) return undefined;
  const tokens = tokenize(pattern);
  const literals = tokens.flatMap((token) => (isLiteral(token) ? [token.literal] : []));
  return literals.length === tokens.length ? literals.join('') : undefined;
}

/** The glob that matches this text alone. */
export const escapeGlob = (text: string): string => text.replace(/[*?[\]\\]|^!/g, '\\$&');

const withoutBang = (pattern: string): string => (isExclusion(pattern) ? pattern.slice(1) : pattern);
const isLiteral = (token: Token): token is { readonly literal: string } =>
  typeof token === 'object' && 'literal' in token;

function compileList(patterns: readonly string[]): Matcher {
  const excluded = patterns.filter(isExclusion).map((pattern) => compileOne(withoutBang(pattern)));
  const included = patterns.filter((pattern) => !isExclusion(pattern)).map(compileOne);
  const everythingElse = included.length === 0 && excluded.length > 0;
  return (value) =>
    (everythingElse || included.some((matches) => matches(value))) && !excluded.some((matches) => matches(value));
}

function compileOne(pattern: string): Matcher {
  if (pattern === '*') return () => true;
  const literal = literalOf(pattern);
  if (literal !== undefined) return (value) => value === literal;
  const tokens = tokenize(pattern);
  return (value) => matchTokens(tokens, Array.from(value));
}

/**
 * Characters are taken one after the other; a mismatch lets the last `*` swallow one more. Only the last: what an earlier one
 * could give up, the last can take (Kirk Krauss, “Matching Wildcards”, 2008). This keeps it from being exponential.
 */
function matchTokens(tokens: readonly Token[], characters: readonly string[]): boolean {
  let token = 0;
  let character = 0;
  let lastRun = -1;
  let swallowedTo = 0;
  while (character < characters.length) {
    const current = tokens[token];
    if (current === ANY_RUN) {
      lastRun = token++;
      swallowedTo = character;
    } else if (current !== undefined && matchesOne(current, characters[character] as string)) {
      token++;
      character++;
    } else if (lastRun >= 0) {
      token = lastRun + 1;
      character = ++swallowedTo;
    } else {
      return false;
    }
  }
  while (tokens[token] === ANY_RUN) token++;
  return token === tokens.length;
}

function matchesOne(token: Exclude<Token, typeof ANY_RUN>, character: string): boolean {
  if (token === ANY_ONE) return true;
  if (isLiteral(token)) return token.literal === character;
  const code = codeOf(character);
  return token.ranges.some(([from, to]) => codeOf(from) <= code && code <= codeOf(to)) !== token.negated;
}

const codeOf = (character: string): number => character.codePointAt(0) ?? 0;

/** Throws GlobProblem. */
function tokenize(pattern: string): readonly Token[] {
  const characters = Array.from(pattern);
  const tokens: Token[] = [];
  let at = 0;
  while (at < characters.length) {
    const character = characters[at++] as string;
    if (character === '*') {
      if (tokens.at(-1) !== ANY_RUN) tokens.push(ANY_RUN);
    } else if (character === '?') {
      tokens.push(ANY_ONE);
    } else if (character === '[') {
      const end = closingBracket(characters, at);
      tokens.push(characterClass(characters.slice(at, end)));
      at = end + 1;
    } else if (character === '\\') {
      const escaped = characters[at++];
      if (escaped === undefined) throw new GlobProblem('ends in a "\\" that escapes nothing: write "\\\\" for one');
      tokens.push({ literal: escaped });
    } else {
      tokens.push({ literal: character });
    }
  }
  return tokens;
}

function closingBracket(characters: readonly string[], from: number): number {
  for (let at = from; at < characters.length; at++) {
    if (characters[at] === '\\') at++;
    else if (characters[at] === ']') return at;
  }
  throw new GlobProblem('has a "[" without its "]": write "\\[" for the character');
}

function characterClass(inside: readonly string[]): CharacterClass {
  if (inside[0] === '^') throw new GlobProblem('has "[^": write "[!" to exclude, "[\\^" for the character');
  const negated = inside[0] === '!';
  const members = unescaped(negated ? inside.slice(1) : inside);
  if (members.length === 0) throw new GlobProblem('has an empty "[]": write "[\\]]" for the character');
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < members.length; at++) {
    const from = (members[at] as Member).character;
    const to = members[at + 2];
    const dash = members[at + 1];
    if (to === undefined || dash === undefined || dash.escaped || dash.character !== '-') {
      ranges.push([from, from]);
      continue;
    }
    if (codeOf(from) > codeOf(to.character)) {
      throw new GlobProblem(`has the range "${from}-${to.character}", which is the wrong way round`);
    }
    ranges.push([from, to.character]);
    at += 2;
  }
  return { negated, ranges };
}

interface Member {
  readonly character: string;
  readonly escaped: boolean;
}

function unescaped(characters: readonly string[]): readonly Member[] {
  const members: Member[] = [];
  for (let at = 0; at < characters.length; at++) {
    const escaped = characters[at] === '\\';
    if (escaped) at++;
    members.push({ character: characters[at] as string, escaped });
  }
  return members;
}
