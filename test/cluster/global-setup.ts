import type { TestProject } from 'vitest/node';
import { REQUIRED } from '../settings.ts';
import { type Binaries, prepareBinaries } from './binaries.ts';

declare module 'vitest' {
  interface ProvidedContext {
    clusterBinaries: Binaries;
    /** Why no cluster can be started here; empty when it can. */
    clusterObstacle: string;
  }
}

const say = (line: string) => void process.stderr.write(`cluster: ${line}\n`);
const NONE: Binaries = { etcd: '', apiServer: '', controllerManager: '', kubectl: '', helm: '' };

/** Before the first test of the project `cluster`: its programs are built or found, outside any test's time. */
export default async function setup(project: TestProject): Promise<void> {
  let obstacle =
    process.platform === 'linux' ? '' : `its Services need Linux' loopback network, this is ${process.platform}`;
  let binaries = NONE;
  try {
    if (!obstacle) binaries = await prepareBinaries(say);
  } catch (error) {
    obstacle = (error as Error).message;
  }
  project.provide('clusterBinaries', binaries);
  project.provide('clusterObstacle', obstacle);
  if (obstacle && !REQUIRED) say(`skipped, because ${obstacle}`);
}
