#!/bin/sh -e
# FAT16 on the whole disk, without a partition table: old cameras.
truncate -s 32M "$1"
mkfs.vfat -F 16 -I -n "${LABEL:-FAT16}" "$1" > /dev/null
