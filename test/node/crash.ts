import { CGROUP } from './machine.ts';
import type { Node } from './node.ts';

/**
 * All that a boot does away with, of what the kubelet and containerd have made: processes, mounts, cgroups, and what is in memory file
 * systems. What is on the disk stays: the directories of pods, and their images.
 */
const WIPE = `
processes() {
  pidof containerd-shim-runc-v2 || true
  find /sys/fs/cgroup -path '*/${CGROUP}/*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un
}
until left=$(processes) && [ -z "$left" ]; do kill -9 $left 2>/dev/null || true; sleep 0.1; done
awk '$5 ~ "^/run/" || $5 ~ "^/var/lib/(kubelet|containerd)/" { print $5 }' /proc/self/mountinfo | tac | while read -r place; do
  umount -l "$place" 2>/dev/null || true
done
find /run -mindepth 1 -delete
mkdir -p /run/lock /run/netns
find /sys/fs/cgroup -depth -path '*/${CGROUP}/*' -type d -exec rmdir {} + 2>/dev/null || true
`;

/**
 * The nearest to a boot that there is without a kernel of one's own: the node loses what a boot takes away, and its programs begin again.
 * The control plane, which other nodes would have, goes on. Resolves when the kubelet serves.
 */
export async function crash(node: Node): Promise<void> {
  await node.restart('kubelet', 'KILL', () =>
    node.restart('containerd', 'KILL', async () => {
      await node.machine.sh(WIPE);
    }),
  );
}
