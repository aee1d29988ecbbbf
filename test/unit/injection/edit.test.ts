import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/contract/json.ts';
import { append, edit, without } from '../../../src/injection/edit.ts';
import { deepFreeze } from './json.ts';

const tree = deepFreeze({ a: { b: [{ c: 1 }, { d: 2 }] }, e: { f: null }, g: 3 });

describe('an edit', () => {
  it('changes what is at the path and shares the rest', () => {
    const edited = edit(tree, ['a', 'b', 1, 'd'], (old) => Number(old) + 1);
    expect(edited).toEqual({ ...tree, a: { b: [{ c: 1 }, { d: 3 }] } });
    expect(edited.a.b[0]).toBe(tree.a.b[0]);
    expect(edited.e).toBe(tree.e);
  });

  it('gives the very same tree where nothing changes', () => {
    expect(edit(tree, ['a', 'b', 0, 'c'], () => 1)).toBe(tree);
    expect(edit(tree, [], (old) => old ?? null)).toBe(tree);
  });

  it('makes what is missing or null on the way', () => {
    expect(edit(tree as JsonObject, ['x', 'y', 'z'], () => 1)).toEqual({ ...tree, x: { y: { z: 1 } } });
    expect(edit(tree as JsonObject, ['e', 'f', 'h'], () => 1)).toEqual({ ...tree, e: { f: { h: 1 } } });
  });

  it('takes __proto__ for a key like any other', () => {
    const hostile = deepFreeze(JSON.parse('{"__proto__":{"polluted":1},"a":1}')) as JsonObject;
    const edited = edit(
      edit(hostile, ['a'], () => 2),
      ['__proto__', 'x'],
      () => 3,
    );
    expect(JSON.stringify(edited)).toBe('{"__proto__":{"polluted":1,"x":3},"a":2}');
    expect(Object.getPrototypeOf(edited)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('puts exactly the value there, at any path', () => {
    const keys = fc.array(fc.constantFrom('a', 'b', '__proto__', 'constructor', 'e'), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.object({ key: fc.constantFrom('a', 'b', '__proto__', 'e'), values: [fc.constant({})] }),
        keys,
        (object, path) => {
          const edited = edit(deepFreeze(object) as JsonObject, path, () => 'x');
          const found = path.reduce<unknown>(
            (node, key) => Object.getOwnPropertyDescriptor(node ?? {}, key)?.value,
            edited,
          );
          expect(found).toBe('x');
        },
      ),
    );
  });
});

describe('appending', () => {
  it('puts the items after those that are there', () => {
    expect(append(tree, ['a', 'b'], { x: 1 }, 2).a.b).toEqual([{ c: 1 }, { d: 2 }, { x: 1 }, 2]);
  });

  it('makes the list where there is none', () => {
    expect(append({ a: null } as JsonObject, ['a'], 1)).toEqual({ a: [1] });
    expect(append({} as JsonObject, ['a', 'b'], 1)).toEqual({ a: { b: [1] } });
  });
});

describe('taking a key away', () => {
  it('leaves the others, in their order', () => {
    expect(JSON.stringify(without(JSON.parse('{"b":1,"__proto__":2,"a":3}'), 'b'))).toBe('{"__proto__":2,"a":3}');
  });

  it('gives the very same object where it has no such key of its own', () => {
    const object = deepFreeze({ a: 1 });
    expect(without(object, 'toString')).toBe(object);
  });
});
