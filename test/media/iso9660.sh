#!/bin/sh -e
# ISO 9660 with long names, on a stick instead of a disc.
tree=$(mktemp -d)
echo kept > "$tree/a long name.txt"
genisoimage -quiet -V "${LABEL:-ISO}" -J -R -o "$1" "$tree"
rm -r "$tree"
