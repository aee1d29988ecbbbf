#!/bin/sh -e
# ISO 9660 with a partition table beside it, which shows firmware a part of it: an installer that was written to a stick. No partition shows
# the file system.
sh -e "$(dirname "$0")/iso9660.sh" "$1"
truncate -s 4M "$1"
printf 'start=128, size=64, type=ef\nstart=1, size=60, type=cd\n' | sfdisk -q --force "$1" 2> /dev/null
