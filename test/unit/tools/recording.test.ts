import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FILE, recordDemo } from '../../../tools/record-demo.ts';
import { terminalSvg } from '../../../tools/terminal-svg.ts';

const svgOf = (text: string) => terminalSvg({ text, title: 'a <title>', columns: 10, rows: 4, seconds: 10 });

describe('the recording of the demo', () => {
  it('is what the demo shows: npm run record', () => {
    expect(readFileSync(FILE, 'utf8')).toBe(recordDemo());
  });

  it('has a row where a terminal would begin one', () => {
    const rows = [...svgOf('one\nelevenchars\n').matchAll(/<text y="(\d+)">(.*?)<\/text>/g)].map(([, , row = '']) =>
      row.replace(/<[^>]*>/g, ''),
    );
    expect(rows).toEqual(['one', 'elevenchar', 's']);
  });

  it('keeps colours across lines, until they end', () => {
    const ESC = String.fromCharCode(27);
    const svg = svgOf(`${ESC}[31mred\nstill${ESC}[39m not\n`);
    expect([...svg.matchAll(/<tspan class="r"[^>]*>([^<]*)/g)].map(([, text]) => text)).toEqual(['red', 'still']);
    expect(svg).not.toContain(ESC);
  });

  it('shows text as it is', () => {
    expect(svgOf('a < b & "c"')).toContain('a &lt; b &amp;');
    expect(svgOf('x')).toContain('<title>a &lt;title&gt;</title>');
  });

  it('scrolls to the end, and begins anew', () => {
    const svg = svgOf('1\n\n2\n\n3\n\n4\n');
    expect([...svg.matchAll(/%\{transform:translateY\((-?\d+)px\)/g)].map(([, y]) => Number(y))).toEqual([
      54, 18, -18, -54, -54,
    ]);
  });
});
