import { accessSync, constants, rmSync } from 'node:fs';
import { makeNode, nodePath, type Question } from './questions.ts';

/**
 * The process that asks, in the cgroup into which it was put. access(2) asks the kernel just what open(2) does (`inode_permission`), and
 * leaves the driver alone, if there is any; mknod(2) asks for itself.
 */
const MASK = { r: constants.R_OK, w: constants.W_OK, rw: constants.R_OK | constants.W_OK };
const nodes = process.argv[2] as string;

function isAllowed(question: Question): boolean {
  if (question.access === 'm') {
    const path = `${nodes}/asked-by-${process.pid}`;
    const made = makeNode(path, question);
    rmSync(path, { force: true });
    return made;
  }
  try {
    accessSync(nodePath(nodes, question), MASK[question.access]);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM') return false;
    throw error;
  }
}

process.on('message', (questions: Question[]) => process.send?.(questions.map(isAllowed)));
