import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { explainPolicyError, lint, PolicyError, parsePolicy, policySchema } from '../../../src/policy/index.ts';
import { FILE_SYSTEMS } from '../../../src/policy/mount-options.ts';

const PATH = join(import.meta.dirname, '../../../docs/policy.md');
const document = readFileSync(PATH, 'utf8');
const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(document) ?? [];

/** With EXAMPLES_UPDATE=1 the document is written anew from what is real. */
function expectShown(part: RegExp, real: string): void {
  const [shown] = part.exec(document) ?? [];
  if (process.env['EXAMPLES_UPDATE'] === '1') {
    writeFileSync(
      PATH,
      readFileSync(PATH, 'utf8').replace(part, () => real),
    );
  } else {
    expect(shown, 'stale: EXAMPLES_UPDATE=1 npm test -- --project unit policy/docs').toBe(real);
  }
}

describe('docs/policy.md', () => {
  it('has an example that is valid, and that nothing is to be said against', () => {
    expect(lint(parsePolicy(example))).toEqual([]);
  });

  it('shows errors as they are', () => {
    const broken = example
      .replace('64Mi', '64MB')
      .replace('media: [usb]', 'media: [usbb]')
      .replace('NET_ADMIN', 'NET_ADMN');
    const real = (): string => {
      try {
        parsePolicy(broken);
      } catch (error) {
        if (error instanceof PolicyError) return explainPolicyError(error, pc.createColors(false));
      }
      throw new Error('expected a PolicyError');
    };
    expectShown(/```\npolicy\.yaml:[\s\S]*?```/, `\`\`\`\n${real()}\`\`\``);
  });

  it('has a row for every key of the schema', () => {
    const keys = new Set<string>();
    const collect = (schema: { properties?: object; items?: object; anyOf?: object[] }): void => {
      for (const [key, inner] of Object.entries(schema.properties ?? {})) {
        keys.add(key);
        if (key !== 'defaults') collect(inner);
      }
      if (schema.items) collect(schema.items);
    };
    collect(z.toJSONSchema(policySchema, { io: 'input' }) as object);
    const rows = document.split('\n').filter((line) => line.startsWith('| `'));
    const named = new Set(rows.flatMap((row) => row.split(' | ')[0]?.match(/[A-Za-z]+/g) ?? []));
    expect([...keys].filter((key) => !named.has(key))).toEqual([]);
  });

  it('has the mount options of every file system', () => {
    const part = (said: string, options: readonly string[]) =>
      options.length > 0 ? `; ${said} ${options.map((option) => `\`${option}\``).join(', ')}` : '';
    // A list: a table would have to be padded as the formatter pads it.
    const items = Object.entries(FILE_SYSTEMS).map(([name, { fixed, defaults, allowed, readOnly }]) => {
      const options = Object.entries(allowed).map(([key, value]) => (value === 'none' ? key : `${key}=`));
      const always = part('always', [...(readOnly ? ['ro'] : []), ...(fixed ?? [])]);
      const parts = `${always}${part('by default', defaults ?? [])}${part('the policy may add', options.sort())}`;
      return `- **${name}**: ${parts.slice(2) || 'nothing more'}\n`;
    });
    expectShown(
      /<!-- mount options -->[\s\S]*<!-- \/mount options -->/,
      `<!-- mount options -->\n\n${items.join('')}\n<!-- /mount options -->`,
    );
  });
});
