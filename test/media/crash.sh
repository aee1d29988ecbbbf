# Mounts the image IMAGE, runs the commands on standard input in it, and leaves IMAGE as a disk that was pulled in that moment: what is
# in the journal is not in its place yet. Takes root. To be sourced with IMAGE and FSTYPE set.
at=$(mktemp -d)
# What was there when it was last unmounted in order.
mount -t "$FSTYPE" -o loop "$IMAGE" "$at"
mkdir "$at/kept"
echo kept > "$at/kept/file"
umount "$at"
mount -t "$FSTYPE" -o loop "$IMAGE" "$at"
(cd "$at" && sh -e)
# The journal is written, and nothing more.
if [ "$FSTYPE" = xfs ]; then xfs_io -x -c 'shutdown -f' "$at"; else cp --sparse=always "$IMAGE" "$IMAGE.pulled"; fi
umount "$at"
rmdir "$at"
[ "$FSTYPE" = xfs ] || mv "$IMAGE.pulled" "$IMAGE"
