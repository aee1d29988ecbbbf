#!/bin/sh -e
# ext2, which has no journal: small old sticks of Linux and of cameras.
truncate -s 16M "$1"
mkfs.ext2 -q -F -E nodiscard ${UUID:+-U "$UUID"} -L "${LABEL:-EXT2}" "$1"
