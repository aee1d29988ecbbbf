import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path/posix';

/**
 * Which folder of src may import from which. `npm run check` and a unit test enforce it, so that the layers of docs/architecture.md
 * stay. A folder that is not named here, or an import that is not, is a mistake or a decision: decide it here.
 */
const BELOW_CONTROLLERS = [
  'contract',
  'linux',
  'observability',
  'policy',
  'node/reasons.ts',
  'node/reconcile',
  'node/http',
  'node/run-dir',
  'node/containers',
  'node/block',
  'node/grpc',
];
const CONTROLLERS = ['node/media', 'node/devices', 'node/lxcfs', 'node/csi', 'node/device-plugin', 'node/live'];

const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  contract: [],
  files: [],
  http: [],
  linux: [],
  observability: ['package.json'],
  policy: ['contract', 'files'],
  injection: ['contract', 'policy'],
  admission: ['contract', 'files', 'http', 'injection', 'observability', 'policy'],
  kubernetes: ['admission', 'contract', 'files', 'observability', 'policy'],

  'node/reasons.ts': [],
  'node/reconcile': ['observability'],
  'node/http': ['http', 'linux'],
  'node/run-dir': ['contract', 'linux', 'observability', 'node/http'],
  'node/containers': ['linux', 'observability', 'node/reconcile'],
  'node/block': ['linux', 'policy'],
  'node/grpc': ['linux'],
  // No controller imports another: what several need lies below them.
  ...Object.fromEntries(CONTROLLERS.map((name) => [name, BELOW_CONTROLLERS])),
  'node/events.ts': ['linux', 'policy', 'node/devices'],
  'node/feature-file.ts': ['contract', 'linux'],
  'node/triggers.ts': [
    'linux',
    'observability',
    'policy',
    'node/reconcile',
    'node/run-dir',
    'node/events.ts',
    'node/media',
    'node/devices',
    'node/live',
  ],
  'node/class-counts.ts': [
    'observability',
    'policy',
    'node/reconcile',
    'node/feature-file.ts',
    'node/media',
    'node/devices',
    'node/device-plugin',
  ],
  'node/status.ts': ['linux', 'node/run-dir', 'node/containers', ...CONTROLLERS],
  'node/metrics.ts': ['observability', 'node/reasons.ts', ...CONTROLLERS],
  'node/policy-in-force.ts': ['observability', 'policy', 'node/run-dir', 'node/status.ts'],
  'node/server.ts': ['node/http', 'node/run-dir', 'node/status.ts'],
  'node/cleanup.ts': [...BELOW_CONTROLLERS, ...CONTROLLERS],
  'node/daemon.ts': [
    ...BELOW_CONTROLLERS,
    ...CONTROLLERS,
    'node/triggers.ts',
    'node/class-counts.ts',
    'node/status.ts',
    'node/metrics.ts',
    'node/policy-in-force.ts',
    'node/server.ts',
  ],
  // Only the commands wire things together.
  commands: ['*'],
  'main.ts': ['commands', 'observability', 'package.json'],
  'cli.ts': ['main.ts'],
  'kubectl-hotmount.ts': ['cli.ts'],
};

/** `node/media` for src/node/media/plan.ts, `policy` for src/policy/lint.ts. */
function folderOf(file: string): string {
  const [top = '', second = ''] = file.replace(/^src\//, '').split('/');
  return top === 'node' ? `${top}/${second}` : top;
}

export interface Import {
  readonly from: string;
  readonly to: string;
}

/** Every import of one file by another, types and dynamic ones included. */
export function readImports(files = globSync('src/**/*.ts').sort()): Import[] {
  return files.flatMap((from) => {
    const specifiers = readFileSync(from, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g);
    return [...specifiers].map(([, path]) => ({ from, to: relative('.', join(dirname(from), path as string)) }));
  });
}

/** The imports that go against the layers; each says which. */
export function findForbidden(imports: readonly Import[]): string[] {
  return imports.flatMap(({ from, to }) => {
    const [importer, imported] = [folderOf(from), folderOf(to)];
    const allowed = MAY_IMPORT[importer];
    if (!allowed) return [`${from}: no rule in test/imports.ts says what ${importer} may import`];
    if (importer === imported || allowed.includes('*') || allowed.includes(imported)) return [];
    return [`${from} imports ${to}: ${importer} may import ${allowed.join(', ') || 'nothing'} (test/imports.ts)`];
  });
}

/** Files that import one another in a circle, one circle an entry. */
export function findCircles(imports: readonly Import[]): string[] {
  const edges = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push([...path.slice(start), file].join(' → '));
    if (start >= 0 || done.has(file)) return;
    for (const { to } of edges.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return circles;
}

if (import.meta.main) {
  const imports = readImports();
  const problems = [...findForbidden(imports), ...findCircles(imports).map((circle) => `a circle: ${circle}`)];
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  if (problems.length > 0) process.exitCode = 1;
}
