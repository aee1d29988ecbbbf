import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { isObject, type JsonObject } from '../../src/contract/json.ts';

/** A type as structured-merge-diff writes it: what it may be, of the three that JSON has. */
interface Atom {
  readonly scalar?: 'string' | 'numeric' | 'boolean' | 'untyped';
  readonly list?: { readonly elementType?: TypeRef };
  readonly map?: {
    readonly fields?: ReadonlyArray<{ readonly name: string; readonly type: TypeRef }>;
    readonly elementType?: TypeRef;
  };
}
type TypeRef = Atom & { readonly namedType?: string };

const SCALARS = { string: 'string', numeric: 'number', boolean: 'boolean' } as const;

/**
 * The fields of all built-in kinds in one minor version of Kubernetes, out of the `k8s.io/client-go` of that version: it carries them
 * for server-side apply.
 */
export class MinorSchema {
  readonly #types: ReadonlyMap<string, TypeRef>;

  /** Of a directory that holds client-go. @throws where that has no schema */
  constructor(clientGo: string) {
    const source = readFileSync(`${clientGo}/applyconfigurations/internal/internal.go`, 'utf8');
    const text = /schemaYAML = typed\.YAMLObject\(`([^`]+)`\)/.exec(source)?.[1];
    if (text === undefined) throw new Error(`${clientGo} has no schema where it used to be`);
    const { types } = parse(text) as { types: ReadonlyArray<TypeRef & { name: string }> };
    this.#types = new Map(types.map((type) => [type.name, type]));
  }

  /** Fields of an object that its kind does not have, or that hold something else, as paths. */
  problems(object: JsonObject): string[] {
    const [version = '', group = 'core'] = String(object['apiVersion']).split('/').reverse();
    const name = `io.k8s.api.${group.split('.')[0]}.${version}.${object['kind']}`;
    if (!this.#types.has(name)) return [`${name}: no such kind`];
    return this.#check({ namedType: name }, object, String(object['kind']));
  }

  #check(ref: TypeRef, value: unknown, path: string): string[] {
    const type = ref.namedType === undefined ? ref : this.#types.get(ref.namedType);
    if (type === undefined) throw new Error(`the schema has no type ${ref.namedType}`);
    if (value === null || value === undefined) return [];
    const { scalar, list, map } = type;
    if (Array.isArray(value)) {
      if (!list) return [`${path}: not a list`];
      return value.flatMap((item, i) => this.#check(list.elementType ?? ANY, item, `${path}[${i}]`));
    }
    if (isObject(value)) {
      if (!map) return [`${path}: not an object`];
      return Object.entries(value).flatMap(([key, item]) => {
        const field = map.fields?.find(({ name }) => name === key)?.type ?? map.elementType;
        return field ? this.#check(field, item, `${path}.${key}`) : [`${path}.${key}: no such field`];
      });
    }
    if (scalar === undefined) return [`${path}: not a scalar`];
    return scalar === 'untyped' || typeof value === SCALARS[scalar] ? [] : [`${path}: not a ${scalar}`];
  }
}

const ANY: TypeRef = { scalar: 'untyped', list: {}, map: {} };
