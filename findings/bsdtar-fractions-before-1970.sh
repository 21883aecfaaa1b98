#!/bin/sh
# bsdtar 3.6.2 (libarchive): a time before 1970 with a fraction changes on its way to or from another tar. In memory such a time is a whole
# second rounded down and a fraction above it: -2 and 0.5 for -1.5. bsdtar writes both one after the other as if they were a number, "-2.5",
# and reads "-1.5" of another program as -1 and 0.5. So it agrees with itself and with no other program: what it wrote comes out up to two
# seconds too early, and what it reads too late, a time within the last second before 1970 even behind 1970. Whole seconds are right.
#
# Seen: bsdtar writes -1.5 as -2.5; of GNU tar's -1.5 it makes -0.500000000, of -0.5 0.500000000
# What helps: write and compare such times in whole seconds.
#
# Needs Debian's package libarchive-tools, GNU tar, python3, and a file system with times before 1970.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for time in -0.5 -1.5 -3; do
  : >"at$time"
  touch --date "@$time" "at$time"
done
bsdtar --format pax -cf bsd.tar at-1.5
tar --format=pax -cf gnu.tar ./at-0.5 ./at-1.5 ./at-3
mkdir out
bsdtar -xf gnu.tar -C out
written=$(python3 -c "import tarfile; print(tarfile.open('bsd.tar').getmembers()[0].pax_headers['mtime'])")
seen="bsdtar writes -1.5 as $written; reads of GNU tar -1.5 as $(stat -c %.9Y out/at-1.5), -0.5 as $(stat -c %.9Y out/at-0.5), -3 as $(stat -c %.9Y out/at-3)"
echo "$(bsdtar --version), $(tar --version | head -n 1): $seen"
[ "$seen" = 'bsdtar writes -1.5 as -2.5; reads of GNU tar -1.5 as -0.500000000, -0.5 as 0.500000000, -3 as -3.000000000' ]
