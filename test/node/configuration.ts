import { stringify } from 'yaml';
import { PAUSE } from './images.ts';
import { CGROUP, NODE_ADDRESS } from './machine.ts';

/** Addresses of the cluster: nothing of it leaves the node's network namespace. */
const SERVICES = '10.96.0.0/16';
const DNS_ADDRESS = '10.96.0.10';
export const PODS = '10.99.0.0/24';
export const NODE_NAME = 'node1';
export const API_SERVER = `https://${NODE_ADDRESS}:6443`;
export const CONTAINERD_SOCKET = '/run/containerd/containerd.sock';

/** Where things are, in the node's directory. */
export interface Files {
  readonly directory: string;
  /** kubeconfigs of an admin, and of the node itself. */
  readonly admin: string;
  readonly node: string;
  /** Of the API server, which makes it at its first start. */
  readonly ca: string;
}

/** Program → its arguments. @param address of the node, where the control plane may not be */
export function argumentsOf(
  { directory, admin, node, ca }: Files,
  address: string,
): Readonly<Record<string, readonly string[]>> {
  const etcd = 'http://127.0.0.1:2379';
  const peer = 'http://127.0.0.1:2380';
  return {
    etcd: [
      `--data-dir=${directory}/etcd`,
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      // It is thrown away in the end.
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
    'kube-apiserver': [
      `--etcd-servers=${etcd}`,
      `--cert-dir=${directory}/certificates`,
      `--advertise-address=${NODE_ADDRESS}`,
      `--service-cluster-ip-range=${SERVICES}`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      `--token-auth-file=${directory}/tokens.csv`,
      `--service-account-key-file=${directory}/service-account.pub`,
      `--service-account-signing-key-file=${directory}/service-account.key`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--kubelet-preferred-address-types=InternalIP',
      '--allow-privileged=true',
      // Without a kube-proxy beside it, it finds the pods of a Service by itself.
      `--enable-aggregator-routing=${address !== NODE_ADDRESS}`,
    ],
    'kube-controller-manager': [
      `--kubeconfig=${admin}`,
      `--service-account-private-key-file=${directory}/service-account.key`,
      `--root-ca-file=${ca}`,
      '--use-service-account-credentials=true',
      '--leader-elect=false',
    ],
    'kube-scheduler': [`--kubeconfig=${admin}`, '--leader-elect=false'],
    'kube-proxy': [`--config=${directory}/kube-proxy.yaml`],
    containerd: [`--config=${directory}/containerd.toml`],
    kubelet: [
      `--config=${directory}/kubelet.yaml`,
      `--kubeconfig=${node}`,
      `--hostname-override=${NODE_NAME}`,
      `--node-ip=${address}`,
      `--cert-dir=${directory}/kubelet-certificates`,
    ],
    coredns: ['-conf', `${directory}/Corefile`],
  };
}

export interface Runtime {
  /** The path of runc. */
  readonly runc: string;
  /** Whether systemd makes the cgroups. */
  readonly systemd: boolean;
  readonly containerdMajor: number;
  /** Of the node. */
  readonly address: string;
  readonly slowness: number;
}

/** Name → text of the files that these arguments name. */
export function configurationFiles({ directory, admin }: Files, runtime: Runtime): Readonly<Record<string, string>> {
  const { systemd, address, slowness } = runtime;
  return {
    'containerd.toml': containerd(directory, runtime),
    'cni/10-node.conflist': JSON.stringify({
      cniVersion: '1.0.0',
      name: 'node',
      plugins: [
        {
          type: 'ptp',
          // What pods reach Services by: the node routes.
          ipam: {
            type: 'host-local',
            subnet: PODS,
            routes: [{ dst: '0.0.0.0/0' }],
            dataDir: '/run/cni',
          },
        },
      ],
    }),
    'kubelet.yaml': stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: 'AlwaysAllow' },
      containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
      cgroupDriver: systemd ? 'systemd' : 'cgroupfs',
      ...(systemd ? {} : { cgroupRoot: `/${CGROUP}` }),
      failCgroupV1: false,
      failSwapOn: false,
      // A machine in a container may lack CAP_SYS_RESOURCE.
      oomScoreAdj: 0,
      clusterDomain: 'cluster.local',
      clusterDNS: [DNS_ADDRESS],
      resolvConf: `${directory}/resolv.conf`,
      // The machine's disk and memory are not the tests' to judge.
      evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
      imageGCHighThresholdPercent: 100,
      // How soon a changed ConfigMap is in the files of pods.
      syncFrequency: `${5 * slowness}s`,
    }),
    'kube-proxy.yaml': stringify({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'iptables',
      bindAddress: address,
      clusterCIDR: PODS,
      hostnameOverride: NODE_NAME,
      clientConnection: { kubeconfig: admin },
      // Settings of the whole kernel, out of a network namespace's reach.
      conntrack: { maxPerCore: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    }),
    'resolv.conf': `nameserver ${DNS_ADDRESS}\n`,
    Corefile: `.:53 {\n  errors\n  kubernetes cluster.local {\n    kubeconfig ${admin}\n  }\n}\n`,
  };
}

function containerd(directory: string, { runc, systemd, containerdMajor }: Runtime): string {
  const isOld = containerdMajor === 1;
  const cri = isOld ? 'io.containerd.grpc.v1.cri' : 'io.containerd.cri.v1.runtime';
  return `version = ${isOld ? 2 : 3}
[grpc]
  address = "${CONTAINERD_SOCKET}"
${isOld ? '' : `[plugins.'io.containerd.cri.v1.images'.pinned_images]\n  sandbox = "${PAUSE}"`}
[plugins.'${cri}']
  ${isOld ? `sandbox_image = "${PAUSE}"` : ''}
  restrict_oom_score_adj = true
[plugins.'${cri}'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'${cri}'.containerd.runtimes.runc.options]
  BinaryName = "${runc}"
  SystemdCgroup = ${systemd}
[plugins.'${cri}'.cni]
  ${isOld ? 'bin_dir = "/usr/lib/cni"' : 'bin_dirs = ["/usr/lib/cni"]'}
  conf_dir = "${directory}/cni"
`;
}

/** The Service by which pods find CoreDNS, a process beside the API server. */
export const DNS_SERVICE = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'kube-dns', namespace: 'kube-system' },
    spec: {
      clusterIP: DNS_ADDRESS,
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'kube-dns-node',
      namespace: 'kube-system',
      labels: { 'kubernetes.io/service-name': 'kube-dns' },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: [NODE_ADDRESS], conditions: { ready: true } }],
    ports: [
      { name: 'dns', port: 53, protocol: 'UDP' },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' },
    ],
  },
];
