import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { labelsIn, ObjectError, objectIn, objectsIn, stringIn, stringsIn } from '../../../src/injection/shape.ts';

describe('reading a field', () => {
  it('takes absent and null for the same, as Kubernetes does', () => {
    for (const parent of [{}, { x: null }] as JsonObject[]) {
      expect(objectIn(parent, 'x', '')).toBeUndefined();
      expect(objectsIn(parent, 'x', '')).toEqual([]);
      expect(stringsIn(parent, 'x', '')).toEqual([]);
      expect(stringIn(parent, 'x', '')).toBeUndefined();
      expect(labelsIn(parent, 'x', '')).toEqual({});
    }
  });

  it('takes the empty string for an absent one, as Go does', () => {
    expect(stringIn({ x: '' }, 'x', '')).toBeUndefined();
    expect(stringIn({ x: ' ' }, 'x', '')).toBe(' ');
  });

  it('gives the very objects that are there', () => {
    const inner = { a: 1 };
    expect(objectIn({ x: inner }, 'x', '')).toBe(inner);
    expect(objectsIn({ x: [inner] }, 'x', '')[0]).toBe(inner);
  });

  it('leaves out labels that are no text: they match nothing', () => {
    expect(labelsIn({ labels: { a: 'b', c: 1, d: null, __proto__: 'x' } }, 'labels', 'metadata')).toEqual({ a: 'b' });
  });

  it.each<[string, () => unknown, string]>([
    ['an object', () => objectIn({ spec: [] }, 'spec', ''), 'spec: expected an object, found a list'],
    ['an object below', () => objectIn({ os: 'x' }, 'os', 'spec'), 'spec.os: expected an object, found "x"'],
    ['a list', () => objectsIn({ volumes: {} }, 'volumes', 'spec'), 'spec.volumes: expected a list, found an object'],
    ['a list of objects', () => objectsIn({ x: [{}, 7] }, 'x', 'spec'), 'spec.x[1]: expected an object, found 7'],
    ['null in a list', () => objectsIn({ x: [null] }, 'x', 'spec'), 'spec.x[0]: expected an object, found null'],
    ['a list of strings', () => stringsIn({ add: ['A', true] }, 'add', 'c'), 'c.add[1]: expected a string, found true'],
    ['a string', () => stringIn({ name: 5 }, 'name', 'c'), 'c.name: expected a string, found 5'],
    ['labels', () => labelsIn({ labels: 'a' }, 'labels', 'metadata'), 'metadata.labels: expected an object, found "a"'],
  ])('names the field, what was expected and what was found: %s', (_, read, message) => {
    expect(read).toThrow(ObjectError);
    expect(read).toThrow(message);
  });
});
