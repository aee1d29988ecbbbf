import fc from 'fast-check';

/** What the documents in these tests are made of. */
export type Value = null | boolean | number | string | Value[] | Mapping;
export interface Mapping {
  [key: string]: Value;
}

/** What YAML could take for something else, and what it cannot write plainly. */
const HARD = ['yes', 'on', '0644', '1e3', '', 'a b', '- x', '# x', 'x: y', "it's", '"q"', '{}', '~', '22:22', '.', 'é'];
const HARDER = ['two\nlines', 'end\n', '\n\n', '\ttab', ' lead', 'trail ', '---', '\u2028', '%a', '*a', '&a', '\r\n'];
const scalar = fc.oneof(
  fc.constantFrom('a', 'web', 'nginx:1.25', ...HARD, ...HARDER),
  fc.string({ maxLength: 12 }),
  fc.boolean(),
  fc.integer(),
  fc.constant(null),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Object.is(number, -0)),
);
const key = fc
  .oneof(
    fc.constantFrom('name', 'image', 'metadata', 'yes', 'hotmount.io/lxcfs', 'x y', '1'),
    fc.string({ maxLength: 8 }),
  )
  .filter((name) => name !== '<<' && name !== '__proto__');

const values = fc.letrec<{ any: Value; list: Value[]; mapping: Mapping }>((tie) => ({
  any: fc.oneof({ maxDepth: 4, depthSize: 'small' }, scalar, tie('mapping'), tie('list')),
  list: fc.array(tie('any'), { maxLength: 4 }),
  mapping: fc.dictionary(key, tie('any'), { maxKeys: 4, noNullPrototype: true }),
}));
export const anyValue: fc.Arbitrary<Value> = values.any;
export const mapping: fc.Arbitrary<Mapping> = fc.dictionary(key, values.any, { maxKeys: 5, noNullPrototype: true });

/** Each call gives a number below `n`; the same choices in each run of a property. */
export type Pick = (n: number) => number;
export const picks: fc.Arbitrary<Pick> = fc.array(fc.nat(1_000), { minLength: 40, maxLength: 80 }).map((numbers) => {
  let next = 0;
  const pick: Pick = (n) => (numbers[next++ % numbers.length] ?? 0) % n;
  return Object.assign(pick, { [fc.toStringMethod]: () => `picks ${numbers.join(' ')}` });
});

export interface StyleChoices {
  readonly flow: boolean;
  readonly anchors: boolean;
  readonly comments: boolean;
}

/** A mapping as YAML, as people write it: mixed quoting, indentation, alignment, comments, blank lines, anchors. */
export function styledYaml(object: Mapping, pick: Pick, choices: StyleChoices): string {
  const anchors: { name: string; value: string }[] = [];
  const step = 2 + pick(3);
  const seqStep = pick(2) * step;
  let comments = 0;
  let names = 0;
  const maybe = (text: string) => (choices.comments && pick(3) === 0 ? text : '');
  const comment = () => `# c${comments++}.`;
  const lineEnd = () => `${maybe(`${' '.repeat(1 + pick(3))}${comment()}`)}\n`;
  const linesBefore = (indent: string) => maybe(pick(2) ? '\n' : `${indent}${comment()}\n`);

  const string = (text: string): string => {
    const isPlain =
      /^[a-z][a-z0-9]+(?:[:./-][a-z0-9]+)*$/.test(text) && !/^(?:y|n|yes|no|on|off|true|false|null)$/.test(text);
    if (isPlain && pick(2)) return text;
    return /^[\x20-\x7e]+$/.test(text) && pick(2) ? `'${text.replaceAll("'", "''")}'` : JSON.stringify(text);
  };
  const inline = (value: Value): string => {
    if (typeof value === 'string') return string(value);
    if (value === null) return ['~', 'null', 'Null'][pick(3)] ?? '';
    if (typeof value === 'boolean') return [String(value), value ? 'yes' : 'off'][pick(2)] ?? '';
    if (typeof value === 'number') return String(value);
    if (Array.isArray(value)) return `[${value.map(inline).join(pick(2) ? ', ' : ',')}]`;
    return `{${Object.entries(value)
      .map(([k, v]) => `${string(k)}: ${inline(v)}`)
      .join(', ')}}`;
  };
  /** What stands after `key:` or `-`, up to the end of the line; a space before it. */
  const after = (value: Value, column: number, isItem: boolean): string => {
    if (value === null && pick(2)) return lineEnd();
    if (typeof value === 'string' && /^[a-z ]+(?:\n[a-z]+)+\n$/.test(value) && pick(2)) {
      const lines = value
        .trimEnd()
        .split('\n')
        .map((line) => `${' '.repeat(column + step)}${line}\n`);
      return ` |${lineEnd()}${lines.join('')}`;
    }
    if (typeof value !== 'object' || value === null || Object.keys(value).length === 0)
      return ` ${inline(value)}${lineEnd()}`;
    if (choices.flow && pick(4) === 0) return ` ${inline(value)}${lineEnd()}`;
    const text = JSON.stringify(value);
    const known = anchors.find((anchor) => anchor.value === text);
    if (known && pick(2)) return ` *${known.name}${lineEnd()}`;
    const isAnchored = choices.anchors && pick(2) === 0;
    const name = `a${names++}`;
    const start = isAnchored ? ` &${name}` : '';
    const indent = Array.isArray(value) && !isItem ? column + seqStep : column + (isItem ? 2 : step);
    const nested = block(value, indent);
    if (isAnchored) anchors.push({ name, value: text });
    const isCompact = isItem && !isAnchored && /^ *\S/.test(nested) && !/^ *#/.test(nested) && indent === column + 2;
    return isCompact ? ` ${nested.slice(indent)}` : `${start}${lineEnd()}${nested}`;
  };
  const block = (value: Value[] | Mapping, column: number): string => {
    const indent = ' '.repeat(column);
    if (Array.isArray(value)) {
      return value.map((item) => `${linesBefore(indent)}${indent}-${after(item, column, true)}`).join('');
    }
    return Object.entries(value)
      .map(([k, v]) => `${linesBefore(indent)}${indent}${string(k)}:${after(v, column, false)}`)
      .join('');
  };
  return Object.keys(object).length === 0 ? `{}${lineEnd()}` : block(object, 0);
}

/** The value with keys and items added in random places, or, where not `additive`, with anything changed. */
export function changed(value: Value, pick: Pick, news: readonly Value[], additive: boolean): Value {
  const fresh = () => news[pick(news.length)] ?? 'new';
  if (!additive && pick(6) === 0) return fresh();
  if (Array.isArray(value)) {
    const items = value.map((item) => changed(item, pick, news, additive));
    if (items.length > 0 && !additive && pick(4) === 0) items.pop();
    return items.length > 0 && pick(3) === 0 ? [...items, fresh()] : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(() => additive || pick(6) > 0);
  const result = Object.fromEntries(entries.map(([k, v]) => [k, changed(v, pick, news, additive)]));
  return Object.keys(value).length > 0 && pick(2) === 0 ? { ...result, [`new${pick(3)}`]: fresh() } : result;
}
