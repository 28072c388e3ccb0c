#!/bin/sh
# Makes a small root file system and becomes process 1 of it:
#
#   stage.sh DIRECTORY SETUP PROGRAM [ARGUMENT...]
#
# Runs as process 1 of fresh pid, mount, uts, net, ipc and cgroup namespaces. The root is a tmpfs
# with the machine's programs, read-only; /share is DIRECTORY. SETUP is a script that finds the new
# root in $root, DIRECTORY in $share, and may change it before the machine's own is cut off.
set -eu
share=$1 setup=$2
shift 2

root=$share/root
mkdir -p "$root"
mount -t tmpfs -o mode=0755 stage "$root"
cd "$root"
mkdir -p etc proc sys dev run tmp var/log share old root
for name in usr bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then
        cp -P "/$name" .
    elif [ -d "/$name" ]; then
        mkdir "$name"
        mount --bind "/$name" "$name"
        mount -o remount,bind,ro "$name"
    fi
done
mount --bind "$share" share
cp /etc/passwd /etc/group /etc/ld.so.cache etc/
[ ! -e /etc/alternatives ] || cp -RP /etc/alternatives etc/
export root share
sh -eu "$setup"

pivot_root . old
# umount(8) needs a /proc.
exec chroot . /bin/sh -c '
    mount -t proc proc /proc && umount -l /old && umount -l /proc && rmdir /old && exec "$@"
' sh "$@"
