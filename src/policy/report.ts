import type { Colors } from 'picocolors/types.js';
import { printable, printableLines } from '../contract/text.ts';
import type { PolicyError, PolicyIssue } from './error.ts';

const MARGIN = 60;

/** The error as a compiler would show it: each issue, the line it is about, and a caret under the column. Ends in a newline. */
export function explainPolicyError(error: PolicyError, colors: Colors): string {
  if (error.issues.length === 0) return `${error.message}\n`;
  const lines = error.text.split('\n');
  return error.issues.map((issue) => explain(error.file, issue, lines[issue.line - 1] ?? '', colors)).join('\n');
}

function explain(file: string, { line, column, path, message }: PolicyIssue, source: string, colors: Colors): string {
  // Lines can be as long as the file, and hold anything: shown is a part, without what a terminal would obey.
  const from = Math.max(0, column - 1 - MARGIN);
  const visible = printableLines(source.slice(from, column + MARGIN));
  const caretAt = visible.slice(0, column - 1 - from).replace(/[^\t]/g, ' ');
  const gutter = ' '.repeat(String(line).length);
  return [
    `${colors.bold(`${printable(file)}:${line}:${column}:`)} ${path === '' ? '' : `${colors.cyan(path)}: `}${message}`,
    `  ${colors.dim(`${line} |`)} ${visible}`,
    `  ${colors.dim(`${gutter} |`)} ${caretAt}${colors.red('^')}`,
    '',
  ].join('\n');
}
