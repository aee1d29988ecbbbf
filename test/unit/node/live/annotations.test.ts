import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAnnotations } from '../../../../src/node/live/annotations.ts';

const read = (text: string) => parseAnnotations(text);

describe('the annotations as the kubelet writes them', () => {
  it('are read, hotmount’s own alone', () => {
    const text = 'example.com/a="b"\nhotmount.io/media="usb"\nkubernetes.io/config.seen="2026"\n';
    expect(read(text)).toEqual({ annotations: { 'hotmount.io/media': 'usb' } });
    expect(read('')).toEqual({ annotations: {} });
  });

  it.each([
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ['"a\\nhotmount.io/devices=\\"x\\""', 'a\nhotmount.io/devices="x"'],
    ['"\\x00\\x7f\\a\\v"', '\0\x7f\x07\v'],
    ['"ü\\u200b\\U0001f600="', 'ü\u200b\u{1f600}='],
    ['"\\xff\\U00110000"', '\ufffd\ufffd'],
  ])('are quoted as Go quotes: %s', (quoted, value) => {
    expect(read(`hotmount.io/x=${quoted}`)).toEqual({ annotations: { 'hotmount.io/x': value } });
  });

  it.each([
    'hotmount.io/media',
    'hotmount.io/media=usb',
    'hotmount.io/media="usb',
    'hotmount.io/media="u"sb"',
    'hotmount.io/x="\\q"',
  ])('are a problem where they are no such thing: %s', (line) =>
    expect(read(`a="b"\n${line}`)).toEqual({ problem: 'has no annotation in line 2' }),
  );

  it('come back as they were, whatever the values', () => {
    // Of what JSON escapes, Go escapes all in the same way but these.
    const quote = (value: string) => JSON.stringify(value).replaceAll('\\b', '\\b').replaceAll('\\f', '\\f');
    const annotations = fc.dictionary(
      fc.stringMatching(/^[a-z]{1,8}$/).map((name) => `hotmount.io/${name}`),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(annotations, (given) => {
        const text = Object.entries(given)
          .map(([key, value]) => `${key}=${quote(value)}`)
          .join('\n');
        expect(read(text)).toEqual({ annotations: { ...given } });
      }),
    );
  });

  it('never throw', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => void read(`hotmount.io/${text}`)));
  });
});
