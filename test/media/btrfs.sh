#!/bin/sh -e
# btrfs on one disk.
truncate -s 128M "$1"
mkfs.btrfs -q -f ${UUID:+-U "$UUID"} -L "${LABEL:-BTRFS}" "$1"
