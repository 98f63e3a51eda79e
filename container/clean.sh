#!/bin/sh
# Removes one of Podman's storages: first the mounts that an interrupted container left there, then
# the files, which belong to other user ids under rootless Podman.
set -eu
storage=$PWD/$1
[ -d "$storage" ] || exit 0
findmnt -rno TARGET | grep -F "$storage/" | sort -r | xargs -r umount --lazy
if [ "$(id -u)" = 0 ]; then rm -rf "$storage"; else buildah unshare rm -rf "$storage"; fi
