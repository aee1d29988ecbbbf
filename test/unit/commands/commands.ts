import { globSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';

/** All commands of src/commands, as the program has them. */
export async function loadCommands(): Promise<Command[]> {
  const directory = join(import.meta.dirname, '../../../src/commands');
  const modules = await Promise.all(
    globSync('*.ts', { cwd: directory })
      .sort()
      .map((file) => import(join(directory, file)) as Promise<Record<string, unknown>>),
  );
  const makers = modules.flatMap((module) => Object.entries(module)).filter(([name]) => name.endsWith('Command'));
  return makers.map(([, make]) => (make as (load: () => Promise<Command[]>) => Command)(async () => []));
}
