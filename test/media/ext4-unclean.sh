#!/bin/sh -e
# ext4 that was pulled while it was written to: its journal has what is not in its place yet. Takes root.
IMAGE=$1 FSTYPE=ext4
truncate -s 16M "$IMAGE"
mkfs.ext4 -q -F -E nodiscard ${UUID:+-U "$UUID"} -L "${LABEL:-UNCLEAN}" "$IMAGE"
. "$(dirname "$0")/crash.sh" <<'COMMANDS'
for i in 1 2 3 4 5; do echo "$i" > "last-$i"; sync "last-$i"; done
COMMANDS
