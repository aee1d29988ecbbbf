#!/bin/sh -e
# Fifteen partitions: three primary, one extended with eleven in it, of which the last has the file system.
truncate -s 48M "$1"
{
  echo 'label: dos'
  for i in 1 2 3; do echo 'size=2048, type=83'; done
  echo 'type=5'
  for i in 1 2 3 4 5 6 7 8 9 10; do echo 'size=2048, type=83'; done
  echo 'size=32768, type=e'
} | sfdisk -q "$1"
start=$(sfdisk -d "$1" | sed -n 's/.*15 : start= *\([0-9]*\),.*/\1/p')
mkfs.vfat -F 16 --offset "$start" -n "${LABEL:-FIFTEEN}" "$1" 16384 > /dev/null
