#!/bin/sh -e
# xfs, on a disk of RHEL's.
truncate -s 320M "$1"
mkfs.xfs -q -f ${UUID:+-m "uuid=$UUID"} -L "${LABEL:-XFS}" "$1"
