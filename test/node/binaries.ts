import { join } from 'node:path';
import { KUBERNETES_VERSION, prepareKubernetes, prepareBinaries as prepareServers } from '../cluster/binaries.ts';
import { type GoPrograms, prepareGoPrograms, type Say } from '../go-programs.ts';

/** Directories with programs, and the paths of the two that people use. */
export interface NodeBinaries {
  /** etcd, kube-apiserver, kube-controller-manager. */
  readonly servers: string;
  /** kubelet, kube-scheduler, kube-proxy. Of another Kubernetes than the usual one also its servers, which come before those above. */
  readonly kubelet: string;
  /** containerd, its shim, ctr. */
  readonly containerd: string;
  /** 1 or 2: they are configured differently. */
  readonly containerdMajor: number;
  readonly coredns: string;
  /** nfd-master, nfd-worker. */
  readonly nodeFeatureDiscovery: string;
  readonly kubectl: string;
  readonly helm: string;
}

const COREDNS_VERSION = 'v1.15.0';
/** Its Go module also has the kinds that it adds to the API. */
export const NODE_FEATURE_DISCOVERY = 'sigs.k8s.io/node-feature-discovery@v0.18.3';
const COMMAND = 'npm run test:node';

const module = (name: string): string => join(import.meta.dirname, 'binaries', name);
const kubernetes = (...names: string[]): string[] => names.map((name) => `k8s.io/kubernetes/cmd/${name}`);
const containerdOf = (path: string): string[] =>
  ['containerd', 'containerd-shim-runc-v2', 'ctr'].map((name) => `${path}/cmd/${name}`);
const NODE_PROGRAMS = kubernetes('kubelet', 'kube-scheduler', 'kube-proxy');
const SERVERS = kubernetes('kube-apiserver', 'kube-controller-manager');

interface Release {
  readonly kubelet: Partial<Pick<GoPrograms, 'version' | 'module'>> & Pick<GoPrograms, 'packages'>;
  readonly containerd: Pick<GoPrograms, 'version' | 'module' | 'packages'>;
}

/** With the Kubernetes of test/cluster. */
const USUAL: Release = {
  kubelet: { packages: NODE_PROGRAMS },
  containerd: { version: 'v2.4.2', module: module('containerd'), packages: ['tool'] },
};

/** By the minor of Kubernetes: the oldest that the chart claims, with the containerd of its time. */
const OLDER: Readonly<Record<string, Release>> = {
  '1.30': {
    kubelet: { version: 'v1.30.14', module: module('kubernetes-1.30'), packages: [...SERVERS, ...NODE_PROGRAMS] },
    containerd: {
      version: 'v1.7.35',
      module: module('containerd-1.7'),
      packages: containerdOf('github.com/containerd/containerd'),
    },
  },
};

/** What `HOTMOUNT_KUBERNETES` asks for, a minor. @throws where it is none of ours */
function wanted(): Release {
  const minor = process.env['HOTMOUNT_KUBERNETES'];
  const release = minor ? OLDER[minor] : USUAL;
  if (release) return release;
  throw new Error(
    `HOTMOUNT_KUBERNETES=${minor}: there is ${Object.keys(OLDER).join()}, and ${KUBERNETES_VERSION} without it`,
  );
}

/** All programs of a cluster with a node; built once, some ten minutes of processor time. Rejects with the remedy where they cannot be had. */
export async function prepareBinaries(say: Say): Promise<NodeBinaries> {
  const release = wanted();
  // One after the other: each build takes all processors.
  const { apiServer, kubectl, helm } = await prepareServers(say);
  const kubelet = await prepareKubernetes({ name: 'kubelet', command: COMMAND, ...release.kubelet }, say);
  const containerd = await prepareGoPrograms({ name: 'containerd', command: COMMAND, ...release.containerd }, say);
  const coredns = await prepareGoPrograms(
    { name: 'CoreDNS', version: COREDNS_VERSION, module: module('coredns'), packages: ['.'], command: COMMAND },
    say,
  );
  const nodeFeatureDiscovery = await prepareGoPrograms(
    {
      name: 'node-feature-discovery',
      version: NODE_FEATURE_DISCOVERY.split('@')[1] ?? '',
      module: module('node-feature-discovery'),
      packages: ['tool'],
      command: COMMAND,
    },
    say,
  );
  const containerdMajor = Number(release.containerd.version[1]);
  const servers = join(apiServer, '..');
  return { servers, kubelet, containerd, containerdMajor, coredns, nodeFeatureDiscovery, kubectl, helm };
}
