#!/bin/sh -e
# NTFS, as Windows makes it on sticks that are large.
truncate -s 16M "$1"
mkntfs -Q -F -q -L "${LABEL:-NTFS}" "$1"
