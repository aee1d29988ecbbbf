import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { terminalSvg } from './terminal-svg.ts';

const ROOT = join(import.meta.dirname, '..');
export const FILE = join(ROOT, 'docs/images/demo.svg');
const COLUMNS = 100;
/** By their titles. All ten take longer than anybody looks. */
const SCENES = ['USB disks, while they are plugged in', 'Serial adapters, without privileged', 'A denial'];

/** `npm run demo`, without the half that takes root, as an SVG that plays by itself. */
export function recordDemo(): string {
  const command = [join(ROOT, 'src/cli.ts'), 'demo', '--no-node', '--color=always'];
  const text = execFileSync(process.execPath, command, {
    encoding: 'utf8',
    env: { ...process.env, COLUMNS: String(COLUMNS) },
  });
  const [opening = '', ...scenes] = text.split(/^(?=.{0,8}── \d+\. )/m);
  const shown = scenes.filter((scene) => SCENES.some((title) => scene.includes(title)));
  if (shown.length !== SCENES.length) throw new Error(`the demo no longer has the scenes ${SCENES.join(', ')}`);
  const played = [opening, ...shown.flatMap((scene) => [scene, '…\n\n'])].join('').replace(/…\n\n$/, '');
  // Any free one: another at each run.
  const lasting = played.replace(/127\.0\.0\.1:\d+/, '127.0.0.1:8443');
  return terminalSvg({
    text: `$ npm run -s demo\n${lasting}`,
    title: 'npm run demo, in a terminal',
    columns: COLUMNS,
    rows: 30,
    seconds: 20,
  });
}

if (import.meta.main) writeFileSync(FILE, recordDemo());
