# Mounts the image IMAGE, runs the commands on standard input in it, and leaves IMAGE as a disk that was pulled in that moment: what is
# in the journal is not in its place yet. Takes root. To be sourced with IMAGE and FSTYPE set.
at=$(mktemp -d)
# Somebody else may look at the loop device just then, exclusively.
mount_it() {
  for _ in 1 2 3 4 5 6 7 8 9; do mount -t "$FSTYPE" -o loop "$IMAGE" "$at" 2> /dev/null && return; sleep 0.2; done
  mount -t "$FSTYPE" -o loop "$IMAGE" "$at"
}
# What was there when it was last unmounted in order.
mount_it
mkdir "$at/kept"
echo kept > "$at/kept/file"
umount "$at"
mount_it
(cd "$at" && sh -e)
# The journal is written, and nothing more.
if [ "$FSTYPE" = xfs ]; then xfs_io -x -c 'shutdown -f' "$at"; else cp --sparse=always "$IMAGE" "$IMAGE.pulled"; fi
umount "$at"
rmdir "$at"
[ "$FSTYPE" = xfs ] || mv "$IMAGE.pulled" "$IMAGE"
