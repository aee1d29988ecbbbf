#!/bin/sh -e
# xfs that was pulled while it was written to: its log has what is not in its place yet. Takes root.
IMAGE=$1 FSTYPE=xfs
truncate -s 320M "$IMAGE"
mkfs.xfs -q -f ${UUID:+-m "uuid=$UUID"} -L "${LABEL:-UNCLEAN}" "$IMAGE"
. "$(dirname "$0")/crash.sh" <<'COMMANDS'
for i in 1 2 3 4 5; do echo "$i" > "last-$i"; sync "last-$i"; done
COMMANDS
