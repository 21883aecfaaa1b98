#!/bin/sh
# CryFS 0.11.3: link() fails with ERANGE, "Numerical result out of range". CryFS has no hard links and means ENOSYS, but gives the number
# to libfuse without its minus sign. libfuse reports a bad error value and answers ERANGE. Programs that look for EPERM, ENOSYS or
# ENOTSUP to take another way than links do not recognise it.
#
# Seen: link(): ERANGE; fuse: bad error value: 38
# What helps: treat ERANGE of link() like EPERM.
#
# Needs Debian's packages cryfs and python3, and /dev/fuse.
set -eu
folder=$(mktemp -d)
end() {
  umount "$folder/at" 2>/dev/null || fusermount -u "$folder/at" 2>/dev/null || true
  wait
  rm -rf "$folder"
}
trap end EXIT
cd "$folder"
mkdir disk at state
export CRYFS_FRONTEND=noninteractive CRYFS_NO_UPDATE_CHECK=true CRYFS_LOCAL_STATE_DIR="$folder/state"
echo password | cryfs -f disk at >log 2>&1 &
# The derivation of the key takes some seconds.
tries=0
until grep -q " $folder/at " /proc/self/mounts; do
  tries=$((tries + 1))
  [ $tries -lt 180 ] || { cat log; exit 1; }
  sleep 1
done
cat >try.py <<'PY'
import errno, os
os.chdir('at')
open('file', 'w').close()
try:
    os.link('file', 'link')
    print('link(): done')
except OSError as error:
    print('link():', errno.errorcode[error.errno])
PY
seen="$(python3 try.py); $(grep -o 'fuse: bad error value: .*' log || echo 'nothing in the log')"
echo "$(cryfs --version | grep -o 'CryFS Version.*'), libfuse $(dpkg-query -W -f '${Version}' libfuse2): $seen"
[ "$seen" = 'link(): ERANGE; fuse: bad error value: 38' ]
