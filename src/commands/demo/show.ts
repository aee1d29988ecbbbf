import { stripVTControlCharacters } from 'node:util';
import type { Colors } from 'picocolors/types.ts';
import type { JsonObject } from '../../contract/json.ts';
import { type Paint, unifiedDiff } from '../inject/diff.ts';
import { identify } from '../inject/objects.ts';
import type { Review, Take } from './play.ts';
import type { Scene } from './scenes.ts';

/** In columns. */
const RULE = 80;

export interface Screen {
  readonly colors: Colors;
  /** In columns. */
  readonly width: number;
}

/** A scene as its author would see it in a terminal: what `kubectl` says, then what the webhook changed. */
export function showScene(
  scene: Scene,
  objects: readonly JsonObject[],
  { reviews, problem }: Take,
  number: number,
  screen: Screen,
): string {
  const { colors } = screen;
  const file = `examples/${scene.file}`;
  const denial = reviews.find((review) => review.denial !== undefined)?.denial;
  const warnings = reviews.flatMap((review) => review.warnings);
  const lines = [
    colors.bold(`── ${number}. ${scene.title} `.padEnd(RULE, '─')),
    scene.sentence,
    '',
    colors.dim(`$ kubectl apply -f ${file}`),
    ...[...new Set(warnings)].map((warning) => `${colors.yellow('Warning:')} ${warning}`),
    ...(denial === undefined ? objects.map(created) : [forbidden(file, denial, colors)]),
    ...reviews.flatMap((review) => showChange(review, screen)),
    ...(problem === undefined ? [] : ['', colors.red(`This is not as it should be: ${problem}.`)]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** As kubectl prints it, with the name that a webhook configuration gives the webhook. */
const forbidden = (file: string, denial: string, colors: Colors): string =>
  `${colors.red('Error from server (Forbidden):')} error when creating "${file}": ` +
  `admission webhook "pods.hotmount.io" denied the request: ${denial}`;

function created(object: JsonObject): string {
  const { apiVersion, kind, name } = identify(object, undefined);
  const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : '';
  return `${kind.toLowerCase()}${group}/${name} created`;
}

const INDENT = '  ';

function showChange({ before, object }: Review, { colors, width }: Screen): string[] {
  const clip = (line: string) => (line.length > width - 2 ? `${line.slice(0, width - 3)}…` : line);
  const paint: Paint = {
    ...colors,
    green: (line) => colors.green(clip(line)),
    red: (line) => colors.red(clip(line)),
  };
  const { kind, namespace, name } = identify(before, undefined);
  const [, , ...hunks] = unifiedDiff(before, object, '', paint).split('\n').slice(0, -1);
  if (hunks.length === 0) return [];
  return ['', colors.bold(`${kind} ${namespace}/${name}`), ...fold(hunks, colors)].map((line, i) =>
    i < 2 ? line : INDENT + line,
  );
}

const VIEW = /^\+ +(?:- )?name: hotmount-lxcfs-(\w+)$/;
const ITEM = /^\+ +- /;

/** The views of lxcfs look all the same: of several in a row, the first stands for all. */
function fold(lines: readonly string[], colors: Colors): string[] {
  const folded: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const items = viewsFrom(lines, at);
    const [first, ...rest] = items;
    if (!first) {
      folded.push(lines[at++] as string);
      continue;
    }
    folded.push(...first.lines);
    if (rest.length > 0) {
      const indent = stripVTControlCharacters(first.lines[0] ?? '').indexOf('-') - 1;
      folded.push(colors.green(`+${' '.repeat(indent)}# and likewise: ${rest.map(({ view }) => view).join(', ')}`));
    }
    at += items.reduce((sum, item) => sum + item.lines.length, 0);
  }
  return folded;
}

interface ViewItem {
  readonly view: string;
  readonly lines: readonly string[];
}

/** The list items from here on that are views of lxcfs. */
function viewsFrom(lines: readonly string[], from: number): ViewItem[] {
  const items: ViewItem[] = [];
  for (let at = from; ; ) {
    const first = stripVTControlCharacters(lines[at] ?? '');
    const view = VIEW.exec(first)?.[1];
    if (view === undefined || !ITEM.test(first)) return items;
    let end = at + 1;
    while (isWithin(stripVTControlCharacters(lines[end] ?? ''), first)) end++;
    items.push({ view, lines: lines.slice(at, end) });
    at = end;
  }
}

/** An added line of the same list item. */
function isWithin(line: string, first: string): boolean {
  const indentOf = (text: string) => text.slice(1).search(/\S/);
  return line.startsWith('+') && indentOf(line) > indentOf(first);
}
