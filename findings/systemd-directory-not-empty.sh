#!/bin/sh
# systemd 252: a folder counts as empty while all names in it look like hidden or backup files, and the list of such endings is long: a service
# that a drop folder starts (DirectoryNotEmpty= of a path unit, ConditionDirectoryNotEmpty= of any unit) does not start for `prices.new`,
# `orders.old`, `report.bak` or `notes.swp`, nor for `.part`. They are handled once something else comes. systemd.path(5) says "whenever it
# contains at least one file", and systemd.unit(5) "a non-empty directory". Both directives ask the same function; the condition shows it
# without a running manager.
#
# Seen: prices.csv: not empty; prices.new, orders.old, report.bak, notes.swp, a~, .part: empty
# What helps: PathExistsGlob=/folder/* beside DirectoryNotEmpty=.
#
# Needs Debian's package systemd.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
with() {
  : >"$folder/$1"
  systemd-analyze condition "ConditionDirectoryNotEmpty=$folder" 2>&1 | grep -q ' succeeded\.' && said='not empty' || said=empty
  rm "$folder/$1"
}
seen=
for name in prices.csv prices.new orders.old report.bak notes.swp a~ .part; do
  with $name
  seen="$seen$name: $said; "
done
echo "$(systemd-analyze --version | head -n 1): $seen"
[ "$seen" = 'prices.csv: not empty; prices.new: empty; orders.old: empty; report.bak: empty; notes.swp: empty; a~: empty; .part: empty; ' ]
