#!/bin/sh
# bindfs 1.14.7, unionfs-fuse 1.0, encfs 1.9.5 and securefs 0.13.1: a call that sets only one of the two times of a file succeeds, and sets nothing.
# libfuse 2, on which Debian 12 builds them, passes such a call on only to file systems that have asked for it (flag_utime_omit_ok). For the others
# it answers with success, and the file system never learns of it. So `touch -m` does nothing, and GNU tar, which sets only the time of
# modification, unpacks everything with the present time and no warning. make, rsync and backups then take all files for changed.
# bsdtar, `cp -p` and rsync set both times, and work. So does tar on mergerfs 2.33.5, which has asked, and on file systems of libfuse 3.
# The trackers of encfs (issue 531) and CryFS (issue 379) have reports of their own.
#
# Seen: bindfs, unionfs, encfs, securefs: tar: not set, touch -m: not set, bsdtar: set, cp -p: set; mergerfs: set by each of them
# What helps: bsdtar; or unpack elsewhere and `cp -a`.
#
# Needs Debian's packages bindfs, unionfs-fuse, encfs, securefs, mergerfs and libarchive-tools, GNU tar, and /dev/fuse.
set -eu
folder=$(mktemp -d)
mounted=
end() {
  [ -z "$mounted" ] || umount "$folder/at" 2>/dev/null || fusermount -u "$folder/at" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT
cd "$folder"
echo content >file
touch --date 2001-01-01 file
tar --create --file file.tar file
mkdir at
seen=
told() {
  # The kernel may keep the times for a second.
  sleep 1.2
  [ "$(stat --format %Y "$1")" = "$(stat --format %Y file)" ] && said=set || said='not set'
}
with() {
  name=$1
  shift
  mkdir disk
  "$@" >log 2>&1 || { cat log; exit 1; }
  until grep -q " $folder/at " /proc/self/mounts; do sleep 0.1; done
  mounted=yes
  tar --extract --file file.tar --directory at
  told at/file
  tar=$said
  : >at/new
  touch -m --date 2001-01-01 at/new
  told at/new
  touch=$said
  bsdtar -xf file.tar -C at
  told at/file
  bsdtar=$said
  cp --preserve=timestamps file at/copy
  told at/copy
  seen="$seen$name: tar: $tar, touch -m: $touch, bsdtar: $bsdtar, cp -p: $said; "
  until umount at 2>/dev/null || fusermount -u at 2>/dev/null; do sleep 0.1; done
  mounted=
  rm -rf disk
}
with bindfs bindfs disk at
with unionfs unionfs -o cow disk=RW at
with encfs sh -c "echo password | encfs --standard -S '$folder/disk' '$folder/at'"
with securefs sh -c 'printf "password\npassword\n" | securefs create disk && printf "password\n" | securefs mount -b --log securefs.log disk at'
with mergerfs mergerfs disk at
echo "bindfs $(bindfs --version | grep -o '[0-9][0-9.]*' | head -n 1): $seen"
missed='tar: not set, touch -m: not set, bsdtar: set, cp -p: set'
[ "$seen" = "bindfs: $missed; unionfs: $missed; encfs: $missed; securefs: $missed; mergerfs: tar: set, touch -m: set, bsdtar: set, cp -p: set; " ]
