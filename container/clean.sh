#!/bin/sh
# Removes a storage of Podman's: what an interrupted container left mounted there, then the files,
# which rootless Podman gave to other user ids.
set -eu
storage=$PWD/$1
[ -d "$storage" ] || exit 0
findmnt -rno TARGET | grep -F "$storage/" | sort -r | xargs -r umount --lazy
if [ "$(id -u)" = 0 ]; then rm -rf "$storage"; else buildah unshare rm -rf "$storage"; fi
