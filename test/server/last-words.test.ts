import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = join(import.meta.dirname, '../../src');

/** A command that fails while its other half goes on logging, as the daemon's reconciles do. */
const PROGRAM = `
import { Command } from 'commander';
import { createLogger } from '${SRC}/observability/logger.ts';
import { fail } from '${SRC}/commands/fail.ts';
const log = createLogger('info');
let lines = 0;
const end = async () => {
  try {
    await fail(new Command().exitOverride(), new Error('the cause'), 1);
  } catch {
    setTimeout(() => process.exit(1), 50);
  }
};
const goOn = () => { log.info({ line: lines++ }, 'goes on'); if (lines === 100) end(); setImmediate(goOn); };
goOn();
`;

describe('why a program ends', () => {
  it('is the last line that it prints, after all that it has logged before', () => {
    const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', PROGRAM], {
      cwd: join(SRC, '..'),
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    const lines = stderr.trimEnd().split('\n');
    expect(lines.at(-1)).toBe('error: the cause');
    const logged = lines.slice(0, -1).map((line) => JSON.parse(line).line);
    expect(logged.length).toBeGreaterThanOrEqual(100);
    expect(logged).toEqual(logged.map((_, i) => i));
  });
});
