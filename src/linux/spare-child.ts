import { closeSync, writeSync } from 'node:fs';
import { type ChildOptions, type ChildResult, followChild, launchChild, runChild } from './child.ts';
import type { SpawnedChild } from './spawn.ts';

/** Each line is a word of the command that it becomes. */
const BECOME = 'while IFS= read -r word; do set -- "$@" "$word"; done; exec "$@"';
/** What it waits for comes as arguments, or else as lines. */
const TAKE = '@ARGV or chomp(@ARGV = <STDIN>);';

export interface SpareOptions extends Pick<ChildOptions, 'uid' | 'cwd' | 'encoding'> {
  /** A script that does the work itself, with the words that it is told as @ARGV: to run another program takes more than a millisecond. */
  readonly perl?: string;
}

/**
 * A child process that has been started beforehand: as the user and in the directory that the next program needs, it waits to be told which
 * one that is. Saves most of what starting a program takes. It ends when this process does.
 */
export class SpareChild {
  readonly #options: Pick<ChildOptions, 'uid' | 'cwd' | 'encoding'>;
  readonly #perl: readonly string[] | undefined;
  #waiting: SpawnedChild | undefined;

  constructor({ perl, ...options }: SpareOptions = {}) {
    this.#options = options;
    this.#perl = perl === undefined ? undefined : ['-e', `${TAKE} ${perl}`, '--'];
  }

  /** Has one wait, if none does. To be called when there is nothing more urgent. */
  prepare(): void {
    const [program, args] = this.#perl ? ['perl', this.#perl] : ['sh', ['-c', BECOME, 'sh']];
    try {
      this.#waiting ??= launchChild(program, args, { ...this.#options, stdin: 'pipe' });
    } catch {
      // Whoever wants to run a program is told why.
    }
  }

  /**
   * As `runChild`, in the one that waits, and then at once; in a new one where none does.
   * @param command of a script, what it is called
   */
  async run(command: string, args: readonly string[], deadline: number): Promise<ChildResult> {
    const child = this.#waiting;
    this.#waiting = undefined;
    const options = { ...this.#options, deadline };
    if (child && tell(child, this.#perl ? args : [command, ...args])) return followChild(child, command, options);
    if (!this.#perl) return runChild(command, args, options);
    return { ...(await runChild('perl', [...this.#perl, ...args], options)), command };
  }
}

/** False where it cannot be told: someone has killed it while it waited, or a word has a newline in it. Then it ends. */
function tell(child: SpawnedChild, words: readonly string[]): boolean {
  const stdin = child.stdin as number;
  try {
    if (words.some((word) => word.includes('\n'))) throw new Error('a word is a line');
    writeSync(stdin, `${words.join('\n')}\n`);
    return true;
  } catch {
    for (const pipe of [child.stdout, child.stderr]) pipe.destroy();
    return false;
  } finally {
    closeSync(stdin);
  }
}
