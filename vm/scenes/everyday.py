"""A machine as people have it: daemons of Debian, a login on the serial line, and limits that hold."""

import json
import re
import time

from machine.boot import Spec
from machine.line import Failed

DAEMONS = ("agetty@ttyS0", "cron", "dhclient@eth0", "network-up", "nginx", "run-sshd-dir", "sshd")
HOARDER = """
description: Takes more memory than it may
command: [sh, -c, "echo taking; tail /dev/zero"]
mem_limit: 32m
restart: "no"
enabled: false
"""
FORKER = """
description: Wants a hundred processes and may have twenty
command: [sh, -c, "(for i in $(seq 100); do sleep 1000000 & done); exec sleep 1000000"]
pids_limit: 20
stop_signal: KILL
enabled: false
"""
SPINNER = """
description: Would use a whole processor, and may use a fifth of one
command: [sh, -c, "while :; do :; done"]
cpus: 0.2
stop_signal: KILL
enabled: false
"""
# None of them execs, so that two thousand are made in a few seconds; they wait for a line each.
CROWD = """
description: Two thousand processes whose parent is gone
stop_grace_period: 10m
command:
  - sh
  - -c
  - mkfifo /run/gate; exec 3<>/run/gate; for i in $(seq 2000); do read -r line <&3 & done
enabled: false
"""
SPEC = Spec(
    examples=DAEMONS,
    units={"hoarder": HOARDER, "forker": FORKER, "spinner": SPINNER, "crowd": CROWD},
    memory=1536,
)


def processes(machine, unit):
    """The PIDs of a unit, as the kernel has them."""
    return machine.run(f"cat /sys/fs/cgroup/treeward/services/{unit}/*/cgroup.procs 2>/dev/null", status=None).split()


def login(machine):
    """A login prompt on the serial line, a login with a password, a command, and a prompt after the logout."""
    for _ in range(2):
        machine.console.expect(r"treeward login: $", 180, "a login prompt")
        machine.console.send("root\n")
        machine.console.expect(r"Password: $", 60)
        machine.console.send("treeward\n")
        machine.console.expect(r"# $", 60, "the prompt of a shell")
        machine.console.send("cat /proc/1/comm; tty; slc status agetty@ttyS0 | sed -n 2p\n")
        machine.console.expect(r"^init$", 60, "init as the name of process 1")
        machine.console.expect(r"^/dev/ttyS0$", 60)
        machine.console.expect(r"^  State +up for", 60)
        machine.console.send("exit\n")
    machine.console.expect(r"treeward login: $", 60, "a login prompt after the logout")


def slc_list(machine):
    """Every unit is up or done."""
    machine.up()
    listed = machine.until("slc list --json && ! slc list | grep -E ' (starting|waiting|blocked) '")
    states = {each["name"]: each["state"] for each in json.loads(listed.partition("\nNAME")[0])["services"]}
    expected = {name: "done" if name in ("network-up", "run-sshd-dir") else "up" for name in DAEMONS}
    seen = {name: states.get(name) for name in expected}
    if seen != expected:
        raise Failed(f"expected the states {expected};\nsaw {seen}")


def dhclient(machine):
    """A lease from QEMU's network; the daemon is up after its first process has gone, with its tree."""
    machine.until("ip -4 addr show dev eth0 | grep -q 10.0.2.15", what="the address 10.0.2.15 on eth0")
    status = machine.until(
        "slc status dhclient@eth0 && test $(cat /run/dhclient.eth0.pid) = $(pgrep -x dhclient)",
        what="one dhclient, which is the one of its PID file",
    )
    pid = machine.run("cat /run/dhclient.eth0.pid").strip()
    if not re.search(r"State +up for", status) or not re.search(rf"└─ {pid} .*dhclient.*\[main, adopted\]", status):
        raise Failed(f"expected the unit up, and {pid} its main process, adopted; saw\n{status}")
    machine.run("busybox ping -c 1 -W 30 10.0.2.2")


def restart(machine):
    """slc restart: other processes, and none of the old ones."""
    old = processes(machine, "nginx")
    machine.run("slc restart nginx")
    new = machine.until("busybox wget -q -O - http://127.0.0.1/ | grep -i nginx && slc status nginx")
    now = processes(machine, "nginx")
    if not old or not now or set(old) & set(now) or "State      up" not in new:
        raise Failed(f"expected other processes than {old}, and the unit up; saw {now} and\n{new}")


def journal(machine):
    """slc journal has what a unit wrote, and what the supervisor did with it."""
    machine.run("slc start hoarder", status=None)
    lines = machine.until("slc journal hoarder | grep taking && slc journal treeward | grep nginx")
    if not re.search(r"nginx.*stop", lines):
        raise Failed(f"expected the stop of nginx in the supervisor's own log; saw\n{lines}")


def controllers(machine):
    """All controllers are there, and the units' cgroups have what limits need."""
    there = machine.run("cat /sys/fs/cgroup/cgroup.controllers").split()
    below = machine.run("cat /sys/fs/cgroup/treeward/services/cgroup.controllers").split()
    if not {"cpu", "memory", "pids", "io", "cpuset"} <= set(there) or not {"cpu", "memory", "pids"} <= set(below):
        raise Failed(f"expected cpu, memory, pids for units, and io and cpuset at the root; saw {below} and {there}")


def memory(machine):
    """A unit that takes more than mem_limit is ended, and its status says that memory had run out."""
    seen = "slc status hoarder >/run/seen; cat /run/seen; grep -q failed /run/seen"
    status = machine.until(seen, what="the unit failed")
    if not re.search(r"killed for want of memory.*: 1$", status, re.MULTILINE):
        raise Failed(f"expected the status to say that memory had run out; saw\n{status}")


def pids(machine):
    """A unit cannot have more processes than pids_limit."""
    machine.run("slc start forker")
    machine.until("grep -q 'max [1-9]' /sys/fs/cgroup/treeward/services/forker/pids.events", what="a fork refused")
    count = len(processes(machine, "forker"))
    machine.run("slc stop forker", status=None)
    if not 15 <= count <= 20:
        raise Failed(f"expected nearly 20 processes, and not more; saw {count}")


def cpus(machine):
    """A unit cannot use more of the processors than cpus says."""
    machine.run("slc start spinner")
    usage = "sed -n 's/usage_usec //p' /sys/fs/cgroup/treeward/services/spinner/cpu.stat; cut -d' ' -f1 /proc/uptime"
    used, began = map(float, machine.run(usage).split())
    time.sleep(5)
    now, ended = map(float, machine.run(usage).split())
    machine.run("slc stop spinner")
    share = (now - used) / 1e6 / (ended - began)
    if not 0.1 <= share <= 0.3:
        raise Failed(f"expected about 0.2 processors used; saw {share:.2f} over {ended - began:.1f} s")


def launcher_killed(machine):
    """kill -9 of the supervisor with fifty services: init starts it again, and all fifty are as before."""
    machine.run(
        "for i in $(seq 50); do printf 'command: sleep 1000000\\n' >/etc/yml-services/sleeper-$i.yml; done; slc reload"
    )
    up = "test $(slc list | grep -c '^sleeper-[0-9]* *up ') = 50"
    machine.until(up, what="fifty sleepers up")
    sleepers = "for i in $(seq 50); do cat /sys/fs/cgroup/treeward/services/sleeper-$i/*/cgroup.procs; done"
    before, old = machine.run(sleepers).split(), machine.run("cat /run/treeward/lock").strip()
    machine.run(f"kill -9 {old}")
    machine.until(f"test $(cat /run/treeward/lock) != {old} && slc version", what="another supervisor")
    machine.until(up, what="fifty sleepers up again")
    after, running = machine.run(sleepers).split(), machine.run("pgrep -c -x sleep").strip()
    parent = machine.run("sed -n 's/^PPid:\t//p' /proc/$(cat /run/treeward/lock)/status").strip()
    if before != after or running != "50" or parent != "1":
        raise Failed(f"expected the same 50 processes and a supervisor of init's; saw {running} of them, its parent"
                     f" {parent}, before:\n{before}\nafter:\n{after}")
    machine.on_console(r"service-launcher.*(kill|signal|restart|start)", what="a word about the supervisor's death")


def orphans(machine):
    """Two thousand orphans fall to PID 1 as the supervisor dies, and end at once: no zombie is left."""
    machine.run("slc start crowd")
    count = "test $(cat /sys/fs/cgroup/treeward/services/crowd/*/cgroup.procs | wc -l) -ge 2000"
    machine.until(count, 300, "two thousand processes")
    old = machine.run("cat /run/treeward/lock").strip()
    machine.run(f"kill -9 {old}")
    machine.until(f"test $(cat /run/treeward/lock) != {old} && slc version", what="another supervisor")
    children = "cat /proc/1/task/1/children | wc -w"
    before = int(machine.run(children))
    if before < 2000:
        raise Failed(f"expected two thousand children of PID 1; saw {before}")
    stopped = machine.run("slc stop crowd", 300)
    zombies = machine.until(
        "ps -e -o stat=,ppid=,comm= | grep '^Z' && exit 1; cat /proc/1/task/1/children | wc -w",
        what="no zombie",
    )
    # The status counts those that had taken the signal; the kernel, that none is left.
    gone = re.search(r"crowd: stopped, (\d+) processes gone", stopped)
    left = processes(machine, "crowd")
    if not gone or int(gone[1]) < 1900 or left or int(zombies) > 100:
        raise Failed(f"expected 2000 processes gone; saw {stopped}left: {left}, children of PID 1: {zombies}")


def power_off(machine):
    """slc poweroff ends the machine, with every service stopped first."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [
    login, slc_list, dhclient, restart, journal, controllers, memory, pids, cpus, launcher_killed, orphans, power_off,
]
