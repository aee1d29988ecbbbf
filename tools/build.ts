import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';
import packageJson from '../package.json' with { type: 'json' };
import { loadCommands, manPage } from './man.ts';

/**
 * `npm run build`: plain JavaScript in `dist/`, for Node reads no types below `node_modules`. Every dependency but those with native code
 * is in it, in chunks that are loaded when a command runs that needs them. `HOTMOUNT_COMMIT` names the commit where there is no git.
 */
const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');

const PROGRAMS = ['src/cli.ts', 'src/kubectl-hotmount.ts'];

/** What is started by its path: the program and its workers. In `dist/` all files lie side by side. */
const BY_PATH = /new URL\('[./]*([\w-]+)\.ts', import\.meta\.url\)/g;
const sources = globSync('src/**/*.ts', { cwd: ROOT });
const started = sources.flatMap((file) =>
  [...readFileSync(join(ROOT, file), 'utf8').matchAll(BY_PATH)].map(([, name]) => name),
);
const entryPoints = sources.filter((file) => PROGRAMS.includes(file) || started.includes(basename(file, '.ts')));

const paths: Plugin = {
  name: 'paths',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => ({
      loader: 'ts',
      contents: readFileSync(path, 'utf8')
        .replace(BY_PATH, "new URL('./$1.js', import.meta.url)")
        .replace(
          /new URL\('[./]*(examples\/|package\.json)', import\.meta\.url\)/g,
          "new URL('../$1', import.meta.url)",
        ),
    }));
  },
};

/**
 * Of the Kubernetes library, what is used: it does not say that its modules have no side effects, and one of them names all of its models.
 * Its requests are not: ours go by node:https, so that undici stays out, which takes 20 MB.
 */
const kubernetes: Plugin = {
  name: 'kubernetes',
  setup({ onResolve, onLoad, resolve }) {
    onResolve({ filter: /^/, namespace: 'file' }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === kubernetes || !importer.includes('/client-node/')) return undefined;
      if (path === 'undici') return { path, namespace: 'absent', sideEffects: false };
      const found = await resolve(path, { importer, resolveDir, kind, pluginData: kubernetes });
      return { ...found, sideEffects: false };
    });
    onLoad({ filter: /^undici$/, namespace: 'absent' }, () => ({
      contents:
        "const absent = () => { throw new Error('requests go by node:https'); }; export { absent as Agent, absent as ProxyAgent, absent as fetch };",
    }));
  },
};

/**
 * `node:http`, required: as an import it has a namespace, and making that reads what `http.WebSocket` gets on demand, which is all of Node's
 * own undici: 7 MB of memory, in each process. What is required reads nothing.
 */
const http: Plugin = {
  name: 'http',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === 'require-call' ? undefined : { path: 'node:http', namespace: 'required' },
    );
    onLoad({ filter: /^/, namespace: 'required' }, ({ path }) => ({ contents: `module.exports = require('${path}')` }));
  },
};

rmSync(DIST, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: ROOT,
  entryPoints,
  outdir: DIST,
  entryNames: '[name]',
  chunkNames: 'chunk-[hash]',
  bundle: true,
  splitting: true,
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  format: 'esm',
  platform: 'node',
  target: `node${/\d+/.exec(packageJson.engines.node)?.[0]}`,
  external: Object.keys(packageJson.dependencies),
  // What has been written for CommonJS requires the modules of Node.
  banner: { js: "import{createRequire as $require}from'node:module';const require=$require(import.meta.url);" },
  define: { HOTMOUNT_COMMIT: JSON.stringify(commit()) },
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
  plugins: [paths, kubernetes, http],
});
copyFileSync(join(ROOT, 'src/policy/default.yaml'), join(DIST, 'default.yaml'));
writeFileSync(join(DIST, 'hotmount.1'), manPage(await loadCommands()));
const packages = packagesIn(metafile);
writeFileSync(join(DIST, 'THIRD-PARTY-LICENSES.txt'), licensesOf(packages));
writeFileSync(join(DIST, 'sbom.cdx.json'), `${JSON.stringify(billOfMaterials(packages), null, 2)}\n`);
for (const program of PROGRAMS) chmodSync(join(DIST, basename(program).replace(/ts$/, 'js')), 0o755);

function commit(): string {
  const given = process.env['HOTMOUNT_COMMIT'];
  if (given) return given;
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }).trim();
    return git('rev-parse', '--short=12', 'HEAD') + (git('status', '--porcelain', '--', 'src') === '' ? '' : '-dirty');
  } catch {
    return 'unknown';
  }
}

interface Package {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly directory: string;
}

/** Those that are in the bundle, and those beside it. */
function packagesIn({ inputs }: Metafile): readonly Package[] {
  const bundled = Object.keys(inputs).flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []);
  const beside = Object.keys(packageJson.dependencies).map((name) => `node_modules/${name}`);
  return [...new Set([...bundled, ...beside])].sort().map((directory) => {
    const { name, version, license } = JSON.parse(readFileSync(join(ROOT, directory, 'package.json'), 'utf8'));
    return { name, version, license, directory };
  });
}

function licensesOf(packages: readonly Package[]): string {
  const texts = packages.map(({ name, version, license, directory }) => {
    const files = globSync('{LICEN[SC]E,licen[sc]e}*', { cwd: join(ROOT, directory) });
    const own = files.map((file) => readFileSync(join(ROOT, directory, file), 'utf8').trim());
    return [`${name} ${version} (${license})`, ...own, ''].join('\n\n');
  });
  return texts.join(`${'-'.repeat(80)}\n\n`);
}

/** CycloneDX 1.6. `npm sbom` knows what is installed, not what is in a bundle. */
function billOfMaterials(packages: readonly Package[]): object {
  const purl = (name: string, version: string) => `pkg:npm/${name.replace('@', '%40')}@${version}`;
  const own = { type: 'application', name: packageJson.name, version: packageJson.version };
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { ...own, 'bom-ref': purl(own.name, own.version), purl: purl(own.name, own.version) } },
    components: packages.map(({ name, version, license }) => ({
      type: 'library',
      name,
      version,
      'bom-ref': purl(name, version),
      purl: purl(name, version),
      licenses: [/ (?:AND|OR) /.test(license) ? { expression: license } : { license: { id: license } }],
    })),
  };
}
