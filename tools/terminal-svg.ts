/** What a terminal shows, as an SVG that scrolls by itself, in the colours of the reader's page (light or dark). Pure. */
export interface Recording {
  /** With ANSI colours (SGR), as a program writes it to a terminal. */
  readonly text: string;
  readonly title: string;
  /** Of the window. */
  readonly columns: number;
  readonly rows: number;
  /** How long it runs, without the pause at the end. */
  readonly seconds: number;
}

const FONT_SIZE = 13;
const LINE = 18;
/** Of a monospaced font: DejaVu Sans Mono, Menlo and Consolas have between 0.55 and 0.602. */
const CHARACTER = FONT_SIZE * 0.602;
const MARGIN = 14;
/** ms. As long as it takes to read the last lines. */
const PAUSE = 4_000;

const CLASSES: Readonly<Record<string, string>> = { 1: 'b', 2: 'd', 31: 'r', 32: 'g', 33: 'y', 36: 'c' };
const ENDS: Readonly<Record<string, readonly string[]>> = {
  0: ['b', 'd', 'r', 'g', 'y', 'c'],
  22: ['b', 'd'],
  39: ['r', 'g', 'y', 'c'],
};

const STYLE = `
.w{fill:#fff;stroke:#d0d7de}.t{fill:#1f2328;font:${FONT_SIZE}px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}
.b{font-weight:bold}.d{fill:#656d76}.r{fill:#cf222e}.g{fill:#1a7f37}.y{fill:#9a6700}.c{fill:#0969da}
@media(prefers-color-scheme:dark){.w{fill:#0d1117;stroke:#30363d}.t{fill:#e6edf3}.d{fill:#8b949e}.r{fill:#ff7b72}.g{fill:#3fb950}.y{fill:#d29922}.c{fill:#58a6ff}}`;

/** The whole picture. The last screen is what shows where nothing moves. */
export function terminalSvg({ text, title, columns, rows, seconds }: Recording): string {
  const lines = rowsOf(text, columns);
  const width = Math.ceil(columns * CHARACTER + 2 * MARGIN);
  const height = rows * LINE + 2 * MARGIN;
  const steps = stepsOf(lines);
  const total = seconds * 1000 + PAUSE;
  const weight = steps.reduce((sum, step) => sum + step.weight, 0);
  let elapsed = 0;
  const frames = steps.map(({ end, weight: own }) => {
    const at = (elapsed / total) * 100;
    elapsed += (own / weight) * seconds * 1000;
    return `${at.toFixed(2)}%{transform:translateY(${offset(end, rows)}px)}`;
  });
  const last = offset(lines.length, rows);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">
<title>${escapeXml(title)}</title>
<style>${STYLE}
@keyframes s{${frames.join('')}100%{transform:translateY(${last}px)}}
#s{transform:translateY(${last}px)}
@media(prefers-reduced-motion:no-preference){#s{animation:s ${total / 1000}s steps(1,end) infinite}}</style>
<clipPath id="c"><rect width="${width - 2 * MARGIN}" height="${height - 2 * MARGIN}"/></clipPath>
<rect class="w" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8"/>
<g transform="translate(${MARGIN} ${MARGIN})" clip-path="url(#c)"><g id="s" class="t" font-family="monospace">
${markup(lines)}
</g></g>
</svg>
`;
}

/** px. So that line `end` is the last in the window; what comes later is below it. */
const offset = (end: number, rows: number): number => (rows - end) * LINE;

interface Step {
  /** Lines that have been written after it. */
  readonly end: number;
  /** How long it stays, in lines to read. */
  readonly weight: number;
}

/** A command's line, or a paragraph, is written at once, and stays for as long as it takes to read. */
function stepsOf(rows: readonly (readonly Span[])[]): Step[] {
  const lines = rows.map((row) => row.map(({ text }) => text).join(''));
  const steps: Step[] = [];
  let begin = 0;
  for (const [i, line] of lines.entries()) {
    const next = lines[i + 1];
    if (next !== undefined && next !== '' && !line.startsWith('$ ')) continue;
    if (line !== '') steps.push({ end: i + 1, weight: 2 + Math.min(i + 1 - begin, 8) });
    begin = i + 1;
  }
  return steps;
}

/** The escape sequence that sets a colour, or ends it. */
const SGR = new RegExp(`${String.fromCharCode(27)}\\[([\\d;]*)m`);

/** Each line as the spans of one colour in it, wrapped where the window ends, as terminals do. */
function rowsOf(text: string, columns: number): Span[][] {
  const active = new Set<string>();
  return text
    .replace(/\n$/, '')
    .split('\n')
    .flatMap((line) => {
      const rows: Span[][] = [[]];
      let column = 0;
      for (const [i, part] of line.split(SGR).entries()) {
        if (i % 2 === 1) switchColors(active, part);
        else {
          for (let rest = part; rest !== ''; ) {
            if (column === columns) {
              rows.push([]);
              column = 0;
            }
            const shown = rest.slice(0, columns - column);
            rows.at(-1)?.push({ column, text: shown, classes: [...active].join(' ') });
            column += shown.length;
            rest = rest.slice(shown.length);
          }
        }
      }
      return rows;
    });
}

interface Span {
  readonly column: number;
  readonly text: string;
  readonly classes: string;
}

function switchColors(active: Set<string>, codes: string): void {
  for (const code of (codes || '0').split(';')) {
    for (const ended of ENDS[code] ?? []) active.delete(ended);
    if (CLASSES[code]) active.add(CLASSES[code]);
  }
}

/** Each span has its place and its length, so that columns are columns in whatever font the reader has. */
function markup(rows: readonly (readonly Span[])[]): string {
  return rows
    .flatMap((row, index) => {
      const spans = row.flatMap(({ column, text, classes }) => {
        const begin = column + text.length - text.trimStart().length;
        const shown = text.trim();
        if (shown === '') return [];
        const name = classes === '' ? '' : ` class="${classes}"`;
        const place = `x="${(begin * CHARACTER).toFixed(1)}" textLength="${(shown.length * CHARACTER).toFixed(1)}"`;
        // Others than these are folded where `white-space` is not known.
        return [
          `<tspan${name} ${place}>${escapeXml(shown).replace(/ {2,}/g, (gap) => '\u00a0'.repeat(gap.length))}</tspan>`,
        ];
      });
      return spans.length > 0 ? [`<text y="${index * LINE + FONT_SIZE}">${spans.join('')}</text>`] : [];
    })
    .join('\n');
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (character) => ESCAPES[character] ?? character);
