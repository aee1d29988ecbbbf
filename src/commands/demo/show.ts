import type { Colors } from 'picocolors/types.ts';
import type { JsonObject } from '../../contract/json.ts';
import { unifiedDiff } from '../inject/diff.ts';
import { identify } from '../inject/objects.ts';
import type { Review, Take } from './play.ts';
import type { Scene } from './scenes.ts';

/** In columns. */
export const RULE = 80;

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
const PLAIN = { bold: String, cyan: String, green: String, red: String, yellow: String };
const PAINTS: Readonly<Record<string, 'green' | 'red' | 'cyan'>> = { '+': 'green', '-': 'red', '@': 'cyan' };

/** The difference without its header, cut to the screen before it is coloured. */
function showChange({ before, object }: Review, { colors, width }: Screen): string[] {
  const [, , ...hunks] = foldViews(unifiedDiff(before, object, '', PLAIN))
    .split('\n')
    .slice(0, -1);
  if (hunks.length === 0) return [];
  const max = width - INDENT.length;
  const lines = hunks.map((line) => {
    const clipped = line.length > max ? `${line.slice(0, max - 1)}…` : line;
    const paint = PAINTS[line.charAt(0)];
    return INDENT + (paint ? colors[paint](clipped) : clipped);
  });
  const { kind, namespace, name } = identify(before, undefined);
  return ['', colors.bold(`${kind} ${namespace}/${name}`), ...lines];
}

/** Several added list items in a row, each a view of lxcfs with what is below its name. */
const VIEWS =
  /^(\+( +)- name: hotmount-lxcfs-\w+\n(?:\+\2 .*\n)+)((?:\+\2- name: hotmount-lxcfs-\w+\n(?:\+\2 .*\n)+)+)/gm;

/** They look all the same: the first stands for all. */
const foldViews = (diff: string): string =>
  diff.replace(VIEWS, (_, first: string, indent: string, others: string) => {
    const views = [...others.matchAll(/hotmount-lxcfs-(\w+)\n/g)].map(([, view]) => view);
    return `${first}+${indent}# and likewise: ${views.join(', ')}\n`;
  });
