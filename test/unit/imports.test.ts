import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findCircles, findForbidden, readImports } from '../imports.ts';

describe('the layers of src', () => {
  const imports = readImports();

  it('import downwards only', () => {
    expect(imports.length).toBeGreaterThan(500);
    expect(findForbidden(imports)).toEqual([]);
  });

  it('have no circles of files', () => {
    expect(findCircles(imports)).toEqual([]);
  });

  it('keep plans pure: none imports a module of Node that does I/O', () => {
    const plans = imports
      .map(({ from }) => from)
      .filter((file) => /\/(attach-)?plan\.ts$|\/desired(-grants)?\.ts$/.test(file));
    expect(new Set(plans).size).toBeGreaterThan(4);
    for (const plan of new Set(plans)) {
      expect(readFileSync(plan, 'utf8'), plan).not.toMatch(/from 'node:(?!path)/);
    }
  });
});

describe('the rules', () => {
  it('forbid a controller to import another', () => {
    const [problem] = findForbidden([{ from: 'src/node/media/plan.ts', to: 'src/node/devices/plan.ts' }]);
    expect(problem).toMatch(
      /^src\/node\/media\/plan\.ts imports src\/node\/devices\/plan\.ts: node\/media may import /,
    );
  });

  it('forbid what they do not know', () => {
    expect(findForbidden([{ from: 'src/new/file.ts', to: 'src/linux/block.ts' }])).toEqual([
      'src/new/file.ts: no rule in test/imports.ts says what new may import',
    ]);
  });

  it('allow imports within a folder, and downwards', () => {
    expect(
      findForbidden([
        { from: 'src/node/media/plan.ts', to: 'src/node/media/actual.ts' },
        { from: 'src/node/media/plan.ts', to: 'src/linux/block.ts' },
      ]),
    ).toEqual([]);
  });

  it('find a circle, and say which files are in it', () => {
    const circle = [
      { from: 'a', to: 'b' },
      { from: 'b', to: 'c' },
      { from: 'c', to: 'b' },
    ];
    expect(findCircles(circle)).toEqual(['b → c → b']);
  });
});
