/** Small charts as SVG, in the colours of the reader's page (light or dark). Pure. */
const STYLE = `
.w{fill:#fff}text{fill:#1f2328;font:13px system-ui,"DejaVu Sans",sans-serif}.h{font-weight:bold}.m{fill:#656d76}
.axis{stroke:#d0d7de;fill:none}.a{fill:#0969da}.b{fill:#8c959f}.la{stroke:#0969da}.lb{stroke:#8c959f}.l{fill:none;stroke-width:2}
@media(prefers-color-scheme:dark){.w{fill:#0d1117}text{fill:#e6edf3}.m{fill:#8b949e}.axis{stroke:#30363d}.a{fill:#58a6ff}.b{fill:#6e7681}.la{stroke:#58a6ff}.lb{stroke:#6e7681}}`;

const WIDTH = 640;

export interface Bars {
  readonly title: string;
  /** Of them, the first is ours. */
  readonly bars: readonly { readonly name: string; readonly value: number }[];
}

export function barChart({ title, bars }: Bars): string {
  const [left, right, row] = [110, 70, 34];
  const most = Math.max(...bars.map(({ value }) => value));
  const rows = bars.map(({ name, value }, i) => {
    const y = 48 + i * row;
    const width = ((WIDTH - left - right) * value) / most;
    return `<text x="${left - 10}" y="${y + 15}" text-anchor="end">${name}</text>
<rect class="${i === 0 ? 'a' : 'b'}" x="${left}" y="${y}" width="${width.toFixed(1)}" height="20" rx="3"/>
<text x="${(left + width + 8).toFixed(1)}" y="${y + 15}">${value}</text>`;
  });
  return picture(title, 60 + bars.length * row, rows);
}

export interface Lines {
  readonly title: string;
  readonly xTitle: string;
  readonly x: readonly number[];
  /** Of them, the first is ours. */
  readonly lines: readonly { readonly name: string; readonly y: readonly number[] }[];
}

export function lineChart({ title, xTitle, x, lines }: Lines): string {
  const [left, right, top, height] = [70, 30, 50, 200];
  const highest = Math.max(...lines.flatMap(({ y }) => y));
  const step = 10 ** Math.floor(Math.log10(highest));
  const most = Math.ceil(highest / step) * step;
  const last = x.at(-1) ?? 1;
  const xOf = (value: number): number => left + ((WIDTH - left - right) * value) / last;
  const yOf = (value: number): number => top + height - (height * value) / most;
  const ticks = Array.from({ length: most / step + 1 }, (_, n) => n * step);
  const parts = [
    ...ticks.map(
      (tick) =>
        `<path class="axis" d="M${left} ${yOf(tick)}H${WIDTH - right}"/><text class="m" x="${left - 8}" y="${yOf(tick) + 4}" text-anchor="end">${Math.round(tick).toLocaleString('en')}</text>`,
    ),
    ...x.map(
      (value) =>
        `<text class="m" x="${xOf(value).toFixed(1)}" y="${top + height + 20}" text-anchor="middle">${value}</text>`,
    ),
    `<text class="m" x="${WIDTH - right}" y="${top + height + 40}" text-anchor="end">${xTitle}</text>`,
    ...lines.flatMap(({ name, y }, i) => {
      const [fill, stroke] = i === 0 ? ['a', 'la'] : ['b', 'lb'];
      const points = y.map((value, n) => [xOf(x[n] ?? 0), yOf(value)] as const);
      const end = points.at(-1) ?? [left, top];
      return [
        `<path class="l ${stroke}" d="M${points.map(([px, py]) => `${px.toFixed(1)} ${py.toFixed(1)}`).join('L')}"/>`,
        ...points.map(([px, py]) => `<circle class="${fill}" cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3.5"/>`),
        `<text class="h" x="${(end[0] - 12).toFixed(1)}" y="${(end[1] - 10).toFixed(1)}" text-anchor="end">${name}: ${y.at(-1)?.toLocaleString('en')}</text>`,
      ];
    }),
  ];
  return picture(title, top + height + 56, parts);
}

const picture = (title: string, height: number, parts: readonly string[]): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">
<title>${title}</title>
<style>${STYLE}</style>
<rect class="w" width="${WIDTH}" height="${height}" rx="8"/>
<text class="h" x="16" y="28">${title}</text>
${parts.join('\n')}
</svg>
`;
