import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editManifest } from '../../../src/commands/inject/edit.ts';
import { type Manifest, parseManifests } from '../../../src/commands/inject/manifests.ts';
import type { JsonObject } from '../../../src/contract/json.ts';
import { SOAK } from '../../settings.ts';
import { anyValue, changed, type Mapping, mapping, picks, styledYaml } from './styled-yaml.ts';

const numRuns = SOAK ? 20_000 : 500;
const news = fc.array(anyValue, { minLength: 1, maxLength: 4 });
const lineEnds = fc.constantFrom('\n', '\r\n');
/** A carriage return inside of a value is not a line end. */
const withLineEnds = (text: string, eol: string) => text.replaceAll('\n', eol);

function parseOne(text: string): Manifest {
  const { manifests, problems } = parseManifests({ name: 'test.yaml', text });
  expect(problems).toEqual([]);
  expect(manifests.map((manifest) => manifest.text).join('')).toBe(text);
  const [manifest] = manifests.filter(({ value }) => value !== undefined);
  if (!manifest) throw new Error(`no object in ${JSON.stringify(text)}`);
  return manifest;
}

const commentsIn = (text: string): string[] => text.match(/# c\d+\./g) ?? [];

describe('editing a manifest', { timeout: 600_000 }, () => {
  it('reads YAML as it was written', () => {
    fc.assert(
      fc.property(mapping, picks, lineEnds, (object, pick, eol) => {
        const text = styledYaml(object, pick, { flow: true, anchors: true, comments: true });
        expect(parseOne(withLineEnds(text, eol)).value).toEqual(object);
      }),
      { numRuns },
    );
  });

  it('gives a text that reads as the new value, whatever was changed', () => {
    fc.assert(
      fc.property(mapping, picks, news, lineEnds, (object, pick, values, eol) => {
        const text = withLineEnds(styledYaml(object, pick, { flow: true, anchors: true, comments: true }), eol);
        const after = changed(object, pick, values, false);
        if (typeof after !== 'object' || after === null || Array.isArray(after)) return;
        expect(parseOne(editManifest(parseOne(text), after as JsonObject)).value).toEqual(after);
      }),
      { numRuns },
    );
  });

  it('keeps every line and every comment where things are only added', () => {
    fc.assert(
      fc.property(mapping, picks, news, lineEnds, (object, pick, values, eol) => {
        const text = withLineEnds(styledYaml(object, pick, { flow: false, anchors: false, comments: true }), eol);
        const after = changed(object, pick, values, true) as Mapping;
        const lines = editManifest(parseOne(text), after as JsonObject).split('\n');
        let at = 0;
        for (const line of text.split('\n')) {
          at = lines.indexOf(line, at) + 1;
          expect(at, `line ${JSON.stringify(line)}`).toBeGreaterThan(0);
        }
      }),
      { numRuns },
    );
  });

  it('keeps every comment beside flow collections and anchors', () => {
    fc.assert(
      fc.property(mapping, picks, news, (object, pick, values) => {
        const text = styledYaml(object, pick, { flow: true, anchors: true, comments: true });
        const after = changed(object, pick, values, true) as Mapping;
        const edited = editManifest(parseOne(text), after as JsonObject);
        expect(commentsIn(edited).filter((c) => commentsIn(text).includes(c))).toEqual(commentsIn(text));
      }),
      { numRuns },
    );
  });

  it('keeps JSON JSON, in its indentation', () => {
    const indents = fc.constantFrom(undefined, 1, 2, 4, '\t');
    fc.assert(
      fc.property(mapping, picks, news, indents, fc.boolean(), (object, pick, values, indent, additive) => {
        const after = changed(object, pick, values, additive);
        if (typeof after !== 'object' || after === null || Array.isArray(after)) return;
        const manifest = parseOne(`${JSON.stringify(object, null, indent)}\n`);
        expect(manifest.format).toBe('json');
        const edited = editManifest(manifest, after as JsonObject);
        expect(JSON.parse(edited)).toEqual(after);
        const isIndented = indent !== undefined && Object.keys(object).length > 0;
        if (isIndented && additive) expect(edited).toBe(`${JSON.stringify(after, null, indent)}\n`);
      }),
      { numRuns },
    );
  });
});
