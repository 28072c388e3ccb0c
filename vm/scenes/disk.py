"""A machine with its root on a disk: ext4, mounted as its fstab says, and clean when the machine is off."""

import re
import subprocess
import time

from machine.boot import Spec
from machine.line import Failed

STUBBORN = """
description: Ignores the signal that stops it, and has an hour to change its mind
command: [sh, -c, "trap '' TERM; while :; do sleep 1000000; done"]
stop_grace_period: 1h
enabled: false
"""
# A write to a frozen file system waits in the kernel and takes no signal.
FROZEN = """
description: Waits in the kernel, for ever
command:
  - sh
  - -ec
  - |
    truncate -s 16M /run/frozen.image
    mkfs.ext4 -q /run/frozen.image
    mkdir -p /run/frozen
    mount -o loop /run/frozen.image /run/frozen
    fsfreeze --freeze /run/frozen
    exec dd if=/dev/zero of=/run/frozen/file
enabled: false
"""
SHUTDOWN = 10
SPEC = Spec(
    root="ext4",
    examples=("cron", "network-up", "nginx"),
    units={"stubborn": STUBBORN, "frozen": FROZEN},
    fstab="""
# The root comes read-only from the initramfs.
LABEL=treeward  /         ext4   noatime,errors=remount-ro  0 1
tmpfs           /srv      tmpfs  size=1m,mode=0700          0 0
tmpfs           /srv/two  tmpfs  size=1m,x-mount.mkdir      0 0
""",
    append=f"treeward.shutdown-timeout={SHUTDOWN}",
)


def image_is_clean(machine):
    """What the file system says of itself, seen from outside, when the machine is off."""
    image = machine.directory / "root.ext4"
    head = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=True).stdout
    checked = subprocess.run(["e2fsck", "-f", "-n", image], capture_output=True, text=True)
    state = re.search(r"Filesystem state: +(.*)", head)[1]
    if state != "clean" or "needs_recovery" in head or checked.returncode != 0:
        raise Failed(
            f"expected an ext4 that was unmounted or made read-only; its state is {state},"
            f" {'' if 'needs_recovery' in head else 'not '}to be recovered; e2fsck -n says"
            f" {checked.returncode}:\n{checked.stdout}{checked.stderr}"
        )


def fstab(machine):
    """/ is mounted again with the options of its fstab, and the rest in order of depth."""
    machine.up()
    mounts = machine.run("cat /proc/mounts; touch /written-to-disk")
    for line in (r"^/dev/\S+ / ext4 rw,noatime", r"^\S+ /srv tmpfs rw.*mode=700", r"^\S+ /srv/two tmpfs rw"):
        if not re.search(line, mounts, re.MULTILINE):
            raise Failed(f"expected {line!r} in /proc/mounts; saw\n{mounts}")


def clean(machine):
    """slc poweroff: every service stopped, nothing left mounted, and the journal of the disk is clean."""
    machine.send("slc poweroff")
    machine.ends("power off")
    image_is_clean(machine)


def hung(machine):
    """A service that ignores TERM and one that waits in the kernel: the console says so, and it ends in time."""
    machine.boot()
    machine.up()
    machine.run("ls /written-to-disk; slc start stubborn frozen")
    waits = "pid=$(pgrep -x dd) && grep -q 'State:.D' /proc/$pid/status && echo $pid"
    pid = machine.until(waits, what="dd in state D").strip()
    began = time.monotonic()
    machine.send("slc poweroff")
    machine.on_console("stubborn", what="the name of the unit that is waited for")
    machine.ends("power off")
    took = time.monotonic() - began
    said = machine.console.text
    # The overall limit, five seconds for what is killed, and as much again for a slow host.
    if took > 3 * (SHUTDOWN + 5) or not re.search(rf"frozen.*{pid}.*\bD\b", said):
        raise Failed(f"expected the end after {SHUTDOWN} s and a few, with frozen, {pid} and its state D on the console;"
                     f" it took {took:.0f} s")
    image_is_clean(machine)


def last_shutdown(machine):
    """At the next boot slc last-shutdown tells what had to be killed, and what even that did not end."""
    machine.boot()
    machine.up()
    told = machine.run("slc last-shutdown", status=None)
    for unit in ("stubborn", "frozen"):
        if not re.search(rf"\b{unit}\b", told):
            raise Failed(f"expected {unit} in what slc last-shutdown says; it says\n{told}")
    machine.send("slc reboot")
    machine.ends("reboot")
    image_is_clean(machine)


SCENES = [fstab, clean, hung, last_shutdown]
