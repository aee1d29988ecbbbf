import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { drawPlots } from '../../../bench/plots.ts';

const DOCS = join(import.meta.dirname, '../../../docs');
const figures = readFileSync(join(DOCS, 'figures.md'), 'utf8');

it('the plots are of the figures in docs/figures.md: npm run bench -- plots', () => {
  for (const [name, svg] of Object.entries(drawPlots(figures))) {
    expect(readFileSync(join(DOCS, 'images', name), 'utf8'), name).toBe(svg);
    expect(svg).not.toContain('NaN');
  }
});

it('the plots cannot be drawn without their rows', () => {
  expect(() => drawPlots('')).toThrow('docs/figures.md has no row disk plugged in until');
});
