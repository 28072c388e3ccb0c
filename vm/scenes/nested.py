"""Other inits as services: runit on the machine's own root, systemd on another; each is one unit."""

import re

from machine.boot import Spec
from machine.line import Failed

RUNIT = """
description: runit, on the machine's own root
command: [run-on-pid-ns, --hostname, inside-runit, /sbin/runit]
delegate: true
kill_mode: mixed
stop_grace_period: 3m
start_timeout: none
enabled: false
"""
SYSTEMD = """
description: systemd, on a root of its own that forgets what is written to it
command: [run-on-pid-ns, --root, /srv/guest, --volatile, --hostname, inside-systemd, --control-socket,
    --bind, "/usr/local/bin/slc:/usr/local/bin/slc:ro", --stop-timeout, "120", /lib/systemd/systemd]
delegate: true
kill_mode: mixed
stop_grace_period: 3m
start_timeout: none
enabled: false
"""
SPEC = Spec(
    examples=("cron", "network-up"),
    units={"runit": RUNIT, "systemd": SYSTEMD},
    fstab="overlay / overlay defaults 0 0\n/dev/vda /srv/guest squashfs ro,x-mount.mkdir 0 0\n",
)
# Under TCG a guest takes ten to twenty times what it takes on the host.
LONG = 300


def clean_inside(machine, unit, init):
    """That the guest's /proc shows the guest alone, its clock began with it, and nothing of ours changed."""
    seen = machine.run(
        f"slc enter {unit} sh -c 'cat /proc/1/comm; cat /proc/[0-9]*/comm | sort -u; hostname; cut -d. -f1 /proc/uptime'"
    ).split()
    if seen[0] != init or {"init", "service-launcher", "cron"} & set(seen[1:-2]) or seen[-2] != f"inside-{unit}":
        raise Failed(f"expected {init} as process 1, nothing of the machine's, and the name inside-{unit}; saw {seen}")
    outside = machine.run("hostname; cut -d. -f1 /proc/uptime; cat /proc/1/comm; ls -d /dev/log 2>/dev/null", status=None).split()
    if outside[0] != "treeward" or int(seen[-1]) >= int(outside[1]) or outside[2] != "init" or "/dev/log" in outside:
        raise Failed(f"expected a later clock inside, and no trace outside; inside {seen}, outside {outside}")


def one_unit(machine, unit, *members):
    """That slc status has the whole guest as one tree, with the PIDs inside."""
    status = machine.run(f"slc status {unit}")
    missing = [member for member in members if member not in status]
    listed = machine.run("slc list")
    if missing or not re.search(rf"^{unit} +up ", listed, re.MULTILINE) or not re.search(r"\binside\b.*\b1\b|\b1\b.*\binside\b", status):
        raise Failed(f"expected one unit, up, with {members} in its tree and its process 1 inside; saw\n{status}{listed}")


def runit(machine):
    """runit as a unit reaches its second stage, with its services, and a clean /proc inside."""
    machine.up()
    machine.run("slc start runit", LONG)
    machine.until("slc enter runit sv status /etc/service/ssh | grep '^run:'", LONG, "runit's ssh to run")
    clean_inside(machine, "runit", "runit")
    one_unit(machine, "runit", "runsvdir", "sshd")


def runit_stops(machine):
    """slc stop runit speaks its language, and leaves nothing."""
    told = machine.run("slc stop runit", LONG)
    left = machine.run("pgrep -l 'runsv|sshd'; ls -d /sys/fs/cgroup/treeward/services/runit/*/", status=None)
    if "killed" in told or "runsv" in left or "/runit/" in left:
        raise Failed(f"expected an end without a kill, and nothing left; saw\n{told}{left}")


def systemd(machine):
    """systemd as a unit reaches its default target with no failed unit, and controllers of its own."""
    machine.run("slc start systemd", LONG)
    machine.until("slc enter systemd systemctl is-system-running", LONG, "systemd to be running")
    clean_inside(machine, "systemd", "systemd")
    one_unit(machine, "systemd", "systemd-journal", "nginx")
    shown = machine.run("slc enter systemd systemctl show -P ActiveState default.target; slc enter systemd systemctl show -P MemoryCurrent nginx")
    if not re.fullmatch(r"active\n\d+\n", shown):
        raise Failed(f"expected the default target active, and a number of bytes for nginx; saw\n{shown}")


def systemd_restarts(machine):
    """systemctl reboot inside is a restart of the guest, and of nothing else."""
    machine.send("slc enter systemd systemctl reboot")
    machine.until(
        "slc journal systemd | grep -i reboot && slc enter systemd systemctl is-system-running", LONG,
        "the guest to be running again",
    )
    machine.run("slc status cron")


def systemd_powers_off(machine):
    """systemctl poweroff inside is the end of the unit, and not of the machine."""
    machine.run("slc enter systemd systemctl poweroff", LONG, status=None)
    machine.until("slc list | grep -E '^systemd +(down|done) '", LONG, "the unit down")
    machine.run("slc status cron")


def power_off_from_inside(machine):
    """slc poweroff inside a guest that was given the socket ends the machine."""
    machine.run("slc start systemd", LONG)
    machine.until("slc enter systemd systemctl is-system-running", LONG, "systemd to be running")
    machine.send("slc enter systemd /usr/local/bin/slc poweroff")
    machine.ends("power off", LONG)


SCENES = [runit, runit_stops, systemd, systemd_restarts, systemd_powers_off, power_off_from_inside]
