#!/bin/sh -e
# UDF as on a disk that cameras and Windows write to.
truncate -s 16M "$1"
mkudffs --blocksize=512 --media-type=hd -l "${LABEL:-UDF}" "$1" > /dev/null
