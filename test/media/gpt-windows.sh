#!/bin/sh -e
# GPT as Windows writes it: the EFI system partition, the one reserved for Microsoft, and the data.
truncate -s 60M "$1"
sfdisk -q "$1" <<TABLE
label: gpt
start=2048, size=32768, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=34816, size=4096, type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE
start=38912, size=40960, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7
TABLE
mkfs.vfat -F 16 --offset 2048 -n EFI "$1" 16384 > /dev/null
mkfs.vfat -F 16 --offset 38912 -n "${LABEL:-WINDOWS}" "$1" 20480 > /dev/null
