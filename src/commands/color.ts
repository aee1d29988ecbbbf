import picocolors from 'picocolors';
import type { Colors } from 'picocolors/types.ts';

export const COLOR_MODES = ['auto', 'always', 'never'] as const;
export type ColorMode = (typeof COLOR_MODES)[number];

let mode: ColorMode = 'auto';

/** `--color`, for the whole program. */
export function setColorMode(given: ColorMode): void {
  mode = given;
}

/** By itself, a terminal is coloured, unless it cannot be, or its user would not have it so (https://no-color.org). */
export const allowsColor = (stream: { isTTY?: boolean | undefined }): boolean =>
  mode === 'auto'
    ? stream.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'
    : mode === 'always';

/** picocolors by itself would also colour for CI. */
export const colorsFor = (stream: { isTTY?: boolean | undefined }): Colors =>
  picocolors.createColors(allowsColor(stream));

/**
 * The arguments without `--color`, which each command takes, before and after its name, and the mode that it sets.
 * @returns a problem where its value is none
 */
export function takeColor(args: readonly string[]): { rest: string[]; mode: ColorMode } | { problem: string } {
  const end = args.indexOf('--');
  const flags = end < 0 ? args : args.slice(0, end);
  let chosen: ColorMode = 'auto';
  const rest: string[] = [];
  for (let i = 0; i < flags.length; i++) {
    const arg = flags[i] ?? '';
    const [name, given] = arg.split('=', 2);
    // The word after it may be an argument of the command.
    const next = arg === '--color' && COLOR_MODES.some((each) => each === flags[i + 1]) ? flags[++i] : undefined;
    const value = given ?? next ?? 'always';
    if (arg === '--no-color') chosen = 'never';
    else if (name !== '--color') rest.push(arg);
    else {
      const known = COLOR_MODES.find((each) => each === value);
      if (!known) return { problem: `--color=${value}: expected ${COLOR_MODES.join(', ')}` };
      chosen = known;
    }
  }
  return { rest: [...rest, ...args.slice(flags.length)], mode: chosen };
}
