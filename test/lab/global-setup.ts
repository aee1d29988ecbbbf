import type { TestProject } from 'vitest/node';
import { prepareKernel } from './kernel.ts';
import { whyLabCannotRun } from './requirements.ts';
import { removeLeftovers } from './virtual-machine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Why no guest can be booted here; empty when it can. */
    labObstacle: string;
  }
}

/** Before the first test of the project `lab`: what the machine lacks is found out, and the kernel fetched, outside any test's time. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  project.provide('labObstacle', whyLabCannotRun() ?? (await whyNoKernel()) ?? '');
  return removeLeftovers;
}

async function whyNoKernel(): Promise<string | undefined> {
  try {
    await prepareKernel((line) => process.stderr.write(`lab: ${line}\n`));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
