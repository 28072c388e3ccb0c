"""Other inits as services: runit on the machine's own root, systemd on another; each is one unit."""

import re
import shlex

from machine.boot import Spec
from machine.disk import PROJECT
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
# The example, on a root that forgets what is written to it, and with time for a machine without KVM.
SYSTEMD = (PROJECT / "examples/systemd.yml.disabled").read_text()
for what, instead in (
    ("  - --root=/srv/guest\n", "  - --root=/srv/guest\n  - --volatile\n  - --stop-timeout=120\n"),
    ("start_timeout: 90s\n", "start_timeout: 10m\nenabled: false\n"),
    ("stop_grace_period: 40s\n", "stop_grace_period: 3m\n"),
    ("  - --control-socket\n", "  - --control-socket\n  - --bind=/usr/local/bin/slc:/usr/local/bin/slc:ro\n"),
):
    assert what in SYSTEMD, f"{what!r} is no longer in the example"
    SYSTEMD = SYSTEMD.replace(what, instead)
SPEC = Spec(
    examples=("cron", "network-up"),
    units={"runit": RUNIT, "systemd": SYSTEMD},
    fstab="overlay / overlay defaults 0 0\n/dev/vda /srv/guest squashfs ro,x-mount.mkdir 0 0\n",
)
# Under TCG a guest takes ten to twenty times what it takes on the host.
LONG = 300


def clean_inside(machine, unit, init):
    """That the guest's /proc shows the guest alone, that its clock began with it, that its name is its
    own, and that nothing of the machine has changed."""
    looks = "cat /proc/1/comm; cat /proc/[0-9]*/comm 2>/dev/null | sort -u | tr '\\n' ' '; echo; cut -d. -f1 /proc/uptime"
    first, names, uptime = machine.run(f"slc enter {unit} sh -c {shlex.quote(looks)}").splitlines()
    outside = machine.run("cat /proc/1/comm; cut -d. -f1 /proc/uptime").split()
    ours = {"init", "service-launcher", "shell"} & set(names.split())
    if first != init or ours or outside[0] != "init" or int(uptime) >= int(outside[1]):
        raise Failed(
            f"expected {init} as process 1 inside, none of the machine's processes, and a younger clock; saw"
            f" {first}, {names}, {uptime} s; outside {outside}"
        )
    machine.run(f"slc enter {unit} hostname elsewhere")
    if machine.run("hostname") != "treeward\n" or machine.run("ls -A /dev/log /tmp 2>/dev/null", status=None) != "/tmp:\nkept\n":
        raise Failed(
            "expected the machine's name, its /dev/log and its /tmp as they were; saw "
            + machine.run("hostname; ls -lA /dev/log /tmp", status=None)
        )


def one_unit(machine, unit, init, *members):
    """That slc shows the whole guest as one unit, with the PID inside of its process 1."""
    status = machine.run(f"slc status {unit}")
    listed = machine.run("slc list")
    missing = [member for member in members if member not in status]
    both = re.search(rf"\d+ \(1 inside\) .*{init}", status)
    if missing or not both or not re.search(rf"^{unit} +up ", listed, re.MULTILINE):
        raise Failed(f"expected one unit, up, with {members} in its tree, and {init} as 1 inside; saw\n{status}{listed}")


def runit(machine):
    """runit as a unit reaches its second stage, with its services, and a clean /proc inside."""
    machine.up()
    machine.run("touch /tmp/kept; slc start runit", LONG)
    machine.until("slc enter runit sv status /etc/service/ssh | grep '^run:'", LONG, "runit's ssh to run")
    clean_inside(machine, "runit", "runit")
    one_unit(machine, "runit", "runit", "runsvdir", "sshd")


def runit_stops(machine):
    """slc stop runit speaks its language, and leaves nothing."""
    told = machine.run("slc stop runit", LONG)
    left = machine.run("pgrep -l 'runsv|sshd'; ls -d /sys/fs/cgroup/treeward/services/runit/*/ 2>&-", status=None)
    if "killed" in told or "runsv" in left or "/runit/" in left:
        raise Failed(f"expected an end without a kill, and nothing left; saw\n{told}{left}")


def systemd(machine):
    """systemd as a unit reaches its default target with no failed unit, and controllers of its own."""
    machine.run("slc start systemd", LONG)
    machine.until("slc enter systemd systemctl is-system-running", LONG, "systemd to be running")
    clean_inside(machine, "systemd", "systemd")
    one_unit(machine, "systemd", "systemd", "systemd-journal", "nginx")
    show = "slc enter systemd systemctl show -P"
    shown = machine.run(f"{show} ActiveState default.target; {show} MemoryCurrent nginx")
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
