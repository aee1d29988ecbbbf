import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { REQUIRED } from '../settings.ts';
import { type NodeBinaries, prepareBinaries } from './binaries.ts';
import { prepareHotmountImage } from './hotmount-image.ts';
import { Machine } from './machine.ts';
import { DIRECTORY } from './node.ts';

declare module 'vitest' {
  interface ProvidedContext {
    nodeBinaries: NodeBinaries;
    /** The archive with hotmount's image. */
    nodeImage: string;
    /** Why no node can be started here; empty when it can. */
    nodeObstacle: string;
  }
}

const say = (line: string) => void process.stderr.write(`node: ${line}\n`);
const NONE: NodeBinaries = {
  servers: '',
  kubelet: '',
  containerd: '',
  containerdMajor: 2,
  coredns: '',
  nodeFeatureDiscovery: '',
  kubectl: '',
  helm: '',
};
/** Building the image takes minutes. */
const ASKED_FOR = process.env['HOTMOUNT_IMAGE'] === '1' || REQUIRED;
const PROGRAMS = ['unshare', 'nsenter', 'setpriv', 'ip', 'iptables', 'runc', 'buildah', 'mmdebstrap', 'losetup', 'tar'];

/**
 * Before the first test of the project `node`: what it runs is built or found, outside any test's time. Returns what is done after the last:
 * the node ends with the tests' process, and what is left of it goes.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  let obstacle = whyNot();
  let binaries = NONE;
  let image = '';
  try {
    if (!obstacle) {
      binaries = await prepareBinaries(say);
      image = await prepareHotmountImage(say);
    }
  } catch (error) {
    obstacle = (error as Error).message;
  }
  project.provide('nodeBinaries', binaries);
  project.provide('nodeImage', image);
  project.provide('nodeObstacle', obstacle);
  if (obstacle && !REQUIRED) say(`skipped, because ${obstacle}`);
  return async () => {
    const left = await Machine.find(DIRECTORY);
    const isOurs = left && (left.owner === 0 || parentOf(left.owner) === process.pid);
    if (isOurs) await left.machine.stop();
  };
}

const parentOf = (pid: number): number =>
  existsSync(`/proc/${pid}`) ? Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1]) : 0;

function whyNot(): string {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  if (!ASKED_FOR) return 'building the image takes minutes: npm run test:node';
  for (const program of PROGRAMS) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) return `${program} is not installed`;
  }
  if (!existsSync('/usr/lib/cni/ptp')) return 'containernetworking-plugins is not installed';
  return '';
}
