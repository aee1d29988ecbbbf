#!/bin/sh -e
# A partition table without partitions.
truncate -s 16M "$1"
echo 'label: gpt' | sfdisk -q "$1"
