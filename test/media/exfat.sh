#!/bin/sh -e
# exFAT, as SDXC cards are sold.
truncate -s 16M "$1"
mkfs.exfat -L "${LABEL:-EXFAT}" "$1" > /dev/null
