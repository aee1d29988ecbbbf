import { afterAll, beforeAll, beforeEach, inject } from 'vitest';
import { describeUnless } from '../describe-unless.ts';
import { type Lab, startLab } from './lab.ts';

const DMESG_LINES = 30;

/** One guest for all files of the project: they run one after the other in one process (vitest.config.ts). */
let shared: Promise<Lab> | undefined;

/** The guest that the test files share, booted by the first that asks; a new one when the last has ended (a test may panic it). */
export async function sharedLab(): Promise<Lab> {
  const last = await shared?.catch(() => undefined);
  if (last?.running) return last;
  await last?.stop();
  // vitest ends the process with SIGTERM, which by default would skip what the lab does at exit (its temporary files).
  if (!shared) process.once('SIGTERM', () => process.exit());
  shared = startLab();
  return shared;
}

/** As vitest's `describe`, for tests that need a virtual machine of their own (startLab). */
export function describeWithQemu(name: string, body: () => void): void {
  describeUnless(inject('labObstacle'), name, body);
}

/**
 * As vitest's `describe`, for tests in the shared guest: `lab()` gives it to them. A failed test prints what the guest's kernel said
 * last. At the end what the tests spawned is killed and what they plugged in pulled; mounts, containers and files are theirs to remove.
 */
export function describeInLab(name: string, body: (lab: () => Lab) => void): void {
  describeWithQemu(name, () => {
    let current: Lab | undefined;
    const lab = () => {
      if (!current) throw new Error('the lab is there in tests and hooks only, not while they are being collected');
      return current;
    };
    beforeAll(async () => {
      current = await sharedLab();
    });
    beforeEach(({ onTestFailed }) => onTestFailed(({ task }) => printDiagnosis(task.name, lab())));
    afterAll(() => current?.reset());
    body(lab);
  });
}

async function printDiagnosis(test: string, lab: Lab): Promise<void> {
  const kernel = lab.running ? (await lab.run(`dmesg | tail -n ${DMESG_LINES}`, { timeoutMs: 10_000 })).stdout : '';
  process.stderr.write(`--- lab, after "${test}" failed; console:\n${lab.console()}\n--- kernel:\n${kernel}---\n`);
}
