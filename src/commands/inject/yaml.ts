import {
  type CreateNodeOptions,
  type DocumentOptions,
  type ParseOptions,
  type ScalarTag,
  Schema,
  type SchemaOptions,
  stringify,
  type ToStringOptions,
} from 'yaml';

type YamlOptions = ParseOptions & DocumentOptions & SchemaOptions;

/**
 * YAML as kubectl and the API server read it (sigs.k8s.io/yaml, on go-yaml v2): 1.2, with the booleans, the numbers (`0b11`, `0644`,
 * `1_000`) and the merge key of 1.1, but neither its timestamps nor its base 60.
 */
const BOOL = 'tag:yaml.org,2002:bool';
const bool: ScalarTag = {
  tag: BOOL,
  default: true,
  identify: (value) => typeof value === 'boolean',
  test: /^(?:[yY]|yes|Yes|YES|true|True|TRUE|on|On|ON|[nN]|no|No|NO|false|False|FALSE|off|Off|OFF)$/,
  resolve: (text) => /^(?:[yt]|on)/i.test(text),
  stringify: ({ value }) => String(value),
};
/** Go's strconv.ParseInt with base 0, after go-yaml has taken the underscores out; `08`, no octal number, is then a float. */
const int: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  identify: () => false,
  test: /^(?=[-+.\d])[-+]?_*(?:0_*(?:[bB][01_]*[01]_*|[oO]?[0-7_]*[0-7]_*|[xX][\da-fA-F_]*[\da-fA-F]_*)|[1-9][\d_]*_[\d_]*)$/,
  resolve: (text) => readInt(text.replaceAll('_', '')),
};
const float: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  identify: () => false,
  test: /^(?=[-+.\d][^_]*_)[-+]?(?:\.[\d_]*\d_*|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?[\d_]*\d_*)?$/,
  resolve: (text) => Number(text.replaceAll('_', '')),
};
function readInt(text: string): number {
  const [, sign, digits = ''] = /^([-+]?)(.*)$/.exec(text) ?? [];
  const number = Number(digits.replace(/^0(?=[0-7])/, '0o'));
  return sign === '-' ? -number : number;
}
const tags: SchemaOptions = {
  merge: true,
  customTags: (core) => [int, float, bool, ...core.filter((tag) => typeof tag === 'string' || tag.tag !== BOOL)],
};
/** One for all documents: to make one takes as long as to read a small document. */
const READ = new Schema(tags);
/** Quotes what any parser of 1.1 could take for something else than a string. */
const WRITE = new Schema({ ...tags, compat: 'yaml-1.1' });

export const PARSE_OPTIONS: YamlOptions = {
  schema: READ,
  stringKeys: true,
  prettyErrors: false,
  logLevel: 'silent',
};

/** Bounds what hostile aliases can expand to; a List of a thousand items may well share one anchor. */
export const TO_JS_OPTIONS = { maxAliasCount: 10_000 };

const RENDER_OPTIONS: CreateNodeOptions & SchemaOptions & ToStringOptions = {
  schema: WRITE,
  aliasDuplicateObjects: false,
  lineWidth: 0,
  doubleQuotedMinMultiLineLength: Number.POSITIVE_INFINITY,
};

export interface BlockStyle {
  /** Spaces by which a mapping lies deeper than its parent. */
  readonly step: number;
  /** Whether a sequence lies deeper than its key. */
  readonly indentSeq: boolean;
  /** For texts of several lines. What line ends their empty last lines have depends on what follows: no good for insertions. */
  readonly blockScalars: boolean;
}

/** As `kubectl -o yaml` writes. */
export const KUBECTL_STYLE: BlockStyle = { step: 2, indentSeq: false, blockScalars: true };

/** Block style, with a newline at the end. */
export const renderBlock = (value: unknown, { step, indentSeq, blockScalars }: BlockStyle = KUBECTL_STYLE): string =>
  stringify(value, { ...RENDER_OPTIONS, indent: step, indentSeq, blockQuote: blockScalars });

/** Flow style, on one line. What has line breaks in it goes as JSON, which is YAML too: plain scalars would be folded. */
export function renderFlow(value: unknown): string {
  const json = JSON.stringify(value);
  if (json.includes('\\n')) return json;
  const list = stringify([value], { ...RENDER_OPTIONS, collectionStyle: 'flow', flowCollectionPadding: false });
  return list.slice(1, -']\n'.length);
}
