import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { errorCode } from './errors.ts';
import { exists } from './exists.ts';
import { attachMount, createFileSystem } from './mounts.ts';

/** What files of containers are labelled with, for containers of all categories (container-selinux). */
const CONTAINER_FILES = 'system_u:object_r:container_file_t:s0';

/** Where libselinux, and so mount(8), looks. The directory is there where the kernel has SELinux switched on (security/selinux/selinuxfs.c). */
const DIRECTORY = '/sys/fs/selinux';

/**
 * The label for what containers are to open: of the flag --selinux-context, `auto` (that of container-selinux, where the node's policy has
 * it), `off`, or a context. Undefined where there is no SELinux, or none is to be set.
 * @throws Error for a context that the node's policy does not have
 */
export function selinuxContext(wanted: string): string | undefined {
  if (wanted === 'off' || !isSelinuxOn()) return undefined;
  const context = wanted === 'auto' ? CONTAINER_FILES : wanted;
  if (hasContext(context)) return context;
  if (wanted === 'auto') return undefined;
  throw new Error(
    `--selinux-context ${wanted}: the node's SELinux policy has no such context; expected such as ${CONTAINER_FILES}, auto or off`,
  );
}

/**
 * Whether the kernel decides by SELinux: it has a policy, without which all labels are `kernel`. A container does not see the file system
 * of SELinux: it is mounted here, too.
 * @throws SystemCallError
 */
export function isSelinuxOn(): boolean {
  if (!exists(DIRECTORY) || /^kernel\b/.test(readFileSync('/proc/self/attr/current', 'utf8'))) return false;
  if (!exists(`${DIRECTORY}/enforce`)) {
    const mount = createFileSystem('selinuxfs', 'selinuxfs', {}, ['noSuid', 'noExec']);
    try {
      attachMount(mount, DIRECTORY);
    } finally {
      closeSync(mount);
    }
  }
  return true;
}

/** The kernel says whether a context is one. */
function hasContext(context: string): boolean {
  const file = openSync(`${DIRECTORY}/context`, 'r+');
  try {
    writeSync(file, context);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EINVAL') return false;
    throw error;
  } finally {
    closeSync(file);
  }
}

/** Of mount(8): in quotes, as the categories of a context have commas between them. */
export const contextOption = (context: string): string => `context="${context}"`;
