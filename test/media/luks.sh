#!/bin/sh -e
# A disk that is encrypted with LUKS.
truncate -s 20M "$1"
printf secret | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 ${UUID:+--uuid "$UUID"} "$1" -
