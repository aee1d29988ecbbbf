#!/bin/sh -e
# ext4 over a FAT whose boot sector is still there.
truncate -s 16M "$1"
mkfs.ext4 -q -F -E nodiscard ${UUID:+-U "$UUID"} "$1"
boot=$(mktemp)
truncate -s 16M "$boot"
mkfs.vfat "$boot" > /dev/null
dd if="$boot" of="$1" bs=512 count=1 conv=notrunc status=none
rm "$boot"
