"""A machine as people have it."""

from machine.boot import Spec

STANDIN = """#!/bin/sh
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
hostname treeward
mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
ip link set lo up
while :; do service-launcher; sleep 1; done
"""
SPEC = Spec(
    examples=("agetty-ttyS0", "cron", "dhclient-eth0", "network-up", "nginx", "run-sshd-dir", "sshd"),
    files={"/init": STANDIN}, append="rw",
)


def boots(machine):
    """Boots."""
    machine.up()
    print(machine.run("slc list; ps axf; free -m; uname -a; mount"))


SCENES = [boots]
