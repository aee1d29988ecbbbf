import { closeSync, mkdirSync, openSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { O_DIRECTORY, O_PATH } from '../../linux/constants.ts';
import { exists } from '../../linux/exists.ts';
import { makeDirectories } from '../../linux/make-directories.ts';
import { type Mount, readMountinfo } from '../../linux/mountinfo.ts';
import {
  attachMount,
  cloneMount,
  createFileSystem,
  type DetachedMount,
  detachMount,
  setMountAttributes,
} from '../../linux/mounts.ts';
import { ensureDirectory, type RunDir } from '../run-dir/run-dir.ts';
import { FILES, SOURCE } from './attach-plan.ts';
import { NODE_FILES, STAGE } from './layout.ts';

/**
 * The node's own files, for containers to read while there is no lxcfs, and for views that it does not serve: below `.lxcfs/node`, laid
 * out as lxcfs's are. They are mounted from a procfs and a sysfs whose *source* is ours. By that a container's mount table tells for as
 * long as the container lives that it has asked for lxcfs there. Single files, not procfs as a whole: a run dir may be visible in
 * containers (`/run` often is). Made at first need, they stay as long as the run dir.
 * @returns by path below lxcfs's root: where it is, and the device of its file system. What the node has not got is not in it
 * @throws SystemCallError
 */
export function mountNodeFiles(runDir: RunDir): Map<string, { path: string; device: string }> {
  const root = `${runDir.path}/${NODE_FILES}`;
  const mounted = (): Mount[] => readMountinfo().filter(({ mountPoint }) => mountPoint.startsWith(`${root}/`));
  const wanted = FILES.filter((file) => exists(file));
  const before = mounted();
  const missing = wanted.filter((file) => !before.some(({ mountPoint }) => covers(mountPoint, `${root}${file}`)));
  if (missing.length > 0) {
    withStage(runDir, (stage) => {
      for (const file of missing)
        if (!missing.some((other) => covers(other, file) && other !== file)) attach(runDir, stage, file);
    });
  }
  const mounts = mounted();
  return new Map(
    wanted.flatMap((file) => {
      const path = `${root}${file}`;
      const mount = mounts.findLast(({ mountPoint }) => covers(mountPoint, path));
      return mount ? [[file, { path, device: mount.device }]] : [];
    }),
  );
}

const covers = (mountPoint: string, path: string): boolean => path === mountPoint || path.startsWith(`${mountPoint}/`);

function attach(runDir: RunDir, stage: string, file: string): void {
  const target = `${runDir.work}/${NODE_FILES}${file}`;
  makeDirectories(dirname(target));
  if (statSync(file).isDirectory()) makeDirectories(target);
  else writeFileSync(target, '', { flag: 'a' });
  mountAt(cloneMount(`${stage}${file}`), `${runDir.path}/${NODE_FILES}${file}`);
}

function mountAt(mount: DetachedMount, path: string): void {
  try {
    attachMount(mount, path);
  } finally {
    closeSync(mount);
  }
}

/**
 * A whole procfs and a whole sysfs, for a moment, to clone files from: before Linux 6.15 only what is attached can be cloned. A private
 * mount is put around them first, so that nobody but this namespace sees them.
 */
function withStage(runDir: RunDir, use: (stage: string) => void): void {
  const stage = `${runDir.path}/${STAGE}`;
  ensureDirectory(runDir, STAGE);
  const isStaged = (): boolean => readMountinfo().some(({ mountPoint }) => mountPoint === stage);
  // One that was killed in between has left its own.
  while (isStaged()) detachMount(stage);
  mountAt(createFileSystem('tmpfs', SOURCE, { size: '4k' }, []), stage);
  try {
    const top = openSync(stage, O_PATH | O_DIRECTORY);
    setMountAttributes(top, { propagation: 'private' });
    closeSync(top);
    for (const [type, name] of [
      ['proc', 'proc'],
      ['sysfs', 'sys'],
    ] as const) {
      mkdirSync(`${stage}/${name}`);
      mountAt(createFileSystem(type, SOURCE, {}, ['readOnly', 'noSuid', 'noDev', 'noExec']), `${stage}/${name}`);
    }
    use(stage);
  } finally {
    detachMount(stage);
  }
}
