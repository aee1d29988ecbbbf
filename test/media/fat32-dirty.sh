#!/bin/sh -e
# FAT32 that was pulled while it was written to: the mark that says so is in its boot sector (byte 0x41, bit 0).
sh -e "$(dirname "$0")/fat32.sh" "$1"
printf '\001' | dd of="$1" bs=1 seek=$((2048 * 512 + 0x41)) conv=notrunc status=none
