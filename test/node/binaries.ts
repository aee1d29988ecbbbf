import { join } from 'node:path';
import { prepareKubernetes, prepareBinaries as prepareServers } from '../cluster/binaries.ts';
import { prepareGoPrograms, type Say } from '../go-programs.ts';

/** Directories with programs, and the paths of the two that people use. */
export interface NodeBinaries {
  /** etcd, kube-apiserver, kube-controller-manager. */
  readonly servers: string;
  /** kubelet, kube-scheduler, kube-proxy. */
  readonly kubelet: string;
  /** containerd, its shim, ctr. */
  readonly containerd: string;
  readonly coredns: string;
  readonly kubectl: string;
  readonly helm: string;
}

const CONTAINERD_VERSION = 'v2.4.2';
const COREDNS_VERSION = 'v1.15.0';
const COMMAND = 'npm run test:node';

const module = (name: string): string => join(import.meta.dirname, 'binaries', name);

/** All programs of a cluster with a node; built once, some ten minutes of processor time. Rejects with the remedy where they cannot be had. */
export async function prepareBinaries(say: Say): Promise<NodeBinaries> {
  // One after the other: each build takes all processors.
  const { apiServer, kubectl, helm } = await prepareServers(say);
  const kubelet = await prepareKubernetes(
    {
      name: 'kubelet',
      packages: ['kubelet', 'kube-scheduler', 'kube-proxy'].map((name) => `k8s.io/kubernetes/cmd/${name}`),
      command: COMMAND,
    },
    say,
  );
  const containerd = await prepareGoPrograms(
    {
      name: 'containerd',
      version: CONTAINERD_VERSION,
      module: module('containerd'),
      packages: ['tool'],
      command: COMMAND,
    },
    say,
  );
  const coredns = await prepareGoPrograms(
    { name: 'CoreDNS', version: COREDNS_VERSION, module: module('coredns'), packages: ['.'], command: COMMAND },
    say,
  );
  return { servers: join(apiServer, '..'), kubelet, containerd, coredns, kubectl, helm };
}
