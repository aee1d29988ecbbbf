#!/bin/sh -e
# FAT32 in a partition, as most sticks are sold.
truncate -s 49M "$1"
printf 'start=2048, type=c\n' | sfdisk -q "$1"
mkfs.vfat -F 32 --offset 2048 -n "${LABEL:-FAT32}" "$1" 49152 > /dev/null
