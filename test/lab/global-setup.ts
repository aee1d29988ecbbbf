import type { TestProject } from 'vitest/node';
import { REQUIRED } from '../settings.ts';
import { prepareKernel } from './kernel.ts';
import { whyLabCannotRun } from './requirements.ts';
import { removeLeftovers } from './virtual-machine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Why no guest can be booted here; empty when it can. */
    labObstacle: string;
  }
}

const say = (line: string) => void process.stderr.write(`lab: ${line}\n`);

/** Before the first test of the project `lab`: what the machine lacks is found out, and the kernel fetched, outside any test's time. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const obstacle = whyLabCannotRun() ?? (await whyNoKernel()) ?? '';
  project.provide('labObstacle', obstacle);
  if (obstacle && !REQUIRED) say(`skipped, because ${obstacle}`);
  return removeLeftovers;
}

async function whyNoKernel(): Promise<string | undefined> {
  try {
    await prepareKernel(say);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
