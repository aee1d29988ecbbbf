import type { Command } from 'commander';

/**
 * Makes `help a b` and `a help b` what commander understands everywhere, `a b --help`. Where a word names no command, the words up to it
 * are left alone: commander then says that it is unknown, and would print the help of another command otherwise. Pure.
 */
export function helpWordsToFlag(args: readonly string[], program: Command): readonly string[] {
  const firstFlag = args.findIndex((arg) => arg.startsWith('-'));
  const words = firstFlag < 0 ? args : args.slice(0, firstFlag);
  const isFlagged = args.includes('--help') || args.includes('-h');
  const path: string[] = [];
  let command = program;
  let isWord = false;
  for (const word of words) {
    if (command.commands.length === 0) break;
    if (word === 'help') {
      isWord = true;
      continue;
    }
    const child = command.commands.find((each) => each.name() === word);
    if (!child) return isWord || isFlagged ? [...path, word] : args;
    path.push(word);
    command = child;
  }
  return isWord ? [...path, '--help'] : args;
}
