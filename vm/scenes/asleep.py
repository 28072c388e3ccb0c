"""A machine that sleeps for a while (suspend to memory), with watchdogs and timers running."""

import re

from machine.boot import Spec
from machine.line import Failed

# Seconds: of the sleep, and of the watchdog and the interval, which are shorter.
SLEEP, LIMIT, EVERY = 30, 10, 10
WATCHED = f"""
description: Says that it lives, once a second
type: notify
watchdog: {LIMIT}s
command: [sh, -c, "systemd-notify --ready; while :; do systemd-notify WATCHDOG=1; sleep 1; done"]
"""
# Time that has passed while the machine was awake, so that the tests need not know when it slept.
TICKER = f"""
description: Notes the time, again and again
type: oneshot
timer:
  every: {EVERY}s
command: [sh, -c, "grep ^now /proc/timer_list | head -n1 >>/run/ticks"]
"""
ALARM = """
description: Notes the time, once
type: oneshot
timer:
  calendar: "{at}"
command: [sh, -c, "date +%s >>/run/alarms"]
"""
SPEC = Spec(examples=("cron",), units={"watched": WATCHED, "ticker": TICKER})


def ticks(machine):
    """When the ticker ran, in seconds of the monotonic clock, which stands still in a sleep."""
    lines = machine.run("cat /run/ticks")
    return [int(line) / 1e9 for line in re.findall(r"now at (\d+) nsecs", lines)]


def sleep(machine):
    """Over a sleep no service is restarted, and no watchdog bites that had no time to be kept quiet."""
    machine.up()
    machine.until("slc status watched && test $(grep -c now /run/ticks) -ge 2", what="the watched up, and two ticks")
    # The oldest process of each: the shell of the watched has others come and go.
    first = "sort -n /sys/fs/cgroup/treeward/services/$unit/*/cgroup.procs | head -n 1"
    pids = f"for unit in cron watched; do {first}; done"
    machine.due = int(machine.run(f"date -d '{SLEEP // 2} seconds' +%s"))
    at = machine.run(f"date -u -d @{machine.due} +'%Y-%m-%d %H:%M:%S UTC'").strip()
    machine.write("/etc/yml-services/alarm.yml", ALARM.format(at=at))
    machine.run("slc reload")
    before = machine.run(pids)
    machine.woken = int(machine.run(f"rtcwake -m mem -s {SLEEP} >/dev/null && date +%s"))
    status = machine.run("slc status watched cron")
    after = machine.run(pids)
    if machine.woken <= machine.due:
        raise Failed(f"expected the machine to sleep until after {machine.due}; it woke at {machine.woken}")
    if before != after or re.search(r"[Rr]estarts +[1-9]|watchdog.*(bit|passed|ended)", status):
        raise Failed(f"expected the same processes, {before}; saw {after} and\n{status}")


def calendar(machine):
    """What was due in the sleep runs once, as soon as the machine is awake."""
    ran = machine.until("cat /run/alarms").split()
    if len(ran) != 1 or not machine.woken - 1 <= int(ran[0]) <= machine.woken + 15:
        raise Failed(f"expected one run at {machine.woken} or soon after; saw {ran}, due {machine.due}")


def interval(machine):
    """Of an interval only the time counts that the machine is awake: no run comes early, and none twice."""
    count = len(ticks(machine))
    machine.until(f"test $(grep -c now /run/ticks) -ge {count + 2}")
    seen = ticks(machine)
    gaps = [later - earlier for earlier, later in zip(seen, seen[1:])]
    if not all(EVERY - 3 <= gap <= EVERY + 5 for gap in gaps):
        raise Failed(f"expected about {EVERY} s awake between two runs; saw {[round(gap, 1) for gap in gaps]}")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [sleep, calendar, interval, power_off]
