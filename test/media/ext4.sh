#!/bin/sh -e
# ext4 as Linux makes it.
truncate -s 16M "$1"
mkfs.ext4 -q -F -E nodiscard ${UUID:+-U "$UUID"} -L "${LABEL:-EXT4}" "$1"
