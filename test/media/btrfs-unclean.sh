#!/bin/sh -e
# btrfs that was pulled while it was written to: its log tree has what is in no transaction yet. Takes root.
IMAGE=$1 FSTYPE=btrfs
truncate -s 128M "$IMAGE"
mkfs.btrfs -q -f ${UUID:+-U "$UUID"} -L "${LABEL:-UNCLEAN}" "$IMAGE"
. "$(dirname "$0")/crash.sh" <<'COMMANDS'
for i in 1 2 3 4 5; do echo "$i" > "last-$i"; sync "last-$i"; done
COMMANDS
