#!/bin/sh -e
# NTFS that Windows has not unmounted: ntfsfix marks it as one that is to be checked.
sh -e "$(dirname "$0")/ntfs.sh" "$1"
ntfsfix "$1" > /dev/null
