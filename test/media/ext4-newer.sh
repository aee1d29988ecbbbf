#!/bin/sh -e
# ext4 with a feature that no kernel knows, without which it can be read but not written.
sh -e "$(dirname "$0")/ext4.sh" "$1"
debugfs -w -R 'feature FEATURE_R30' "$1" > /dev/null 2>&1
