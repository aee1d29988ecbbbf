#!/bin/sh -e
# f2fs, on a card of Android's.
truncate -s 64M "$1"
mkfs.f2fs -q -f -l "${LABEL:-F2FS}" "$1" > /dev/null
