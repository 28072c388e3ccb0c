"""What needs a machine of its own: a service that waits in the kernel, a clock that jumps, two orders to end."""

import re
import time

from machine.boot import Spec
from machine.line import Failed

# A write to a frozen file system waits in the kernel and takes no signal. The second start finds it
# thawed, and idles.
FROZEN = """
description: Waits in the kernel until its file system is thawed
command:
  - sh
  - -ec
  - |
    if test -e /run/frozen; then exec sleep 1000000; fi
    truncate -s 16M /run/frozen.image
    mkfs.ext4 -q /run/frozen.image
    mkdir -p /run/frozen
    mount -o loop /run/frozen.image /run/frozen
    fsfreeze --freeze /run/frozen
    exec dd if=/dev/zero of=/run/frozen/file
stop_grace_period: 1s
enabled: false
"""
FAILING = """
description: Fails at once, and waits twenty seconds for its next start
command: "false"
restart: always
restart_delay: 20s
restart_max_attempts: 0
enabled: false
"""
# Each run is a line: when it was, on the clock that only goes forward.
NOON = """
description: Runs at noon
command: sh -c "cut -d' ' -f1 /proc/uptime >>/run/noon"
timer: "12:00"
"""
NOON_KEPT = """
description: Runs at noon, and makes up for a noon when the machine was off
command: sh -c "cut -d' ' -f1 /proc/uptime >>/run/noon-kept"
timer: {calendar: "12:00", persistent: true}
"""
TICK = """
description: Runs every five seconds
command: sh -c "cut -d' ' -f1 /proc/uptime >>/run/tick"
timer: {every: 5s}
"""
BRIEF = """
description: Has a timer, and a run of it is over soon
command: sleep 1
timer: {every: 100m}
"""
LATE = """
description: Asks for a restart of the machine when it is asked to end
command:
  - sh
  - -c
  - |
    trap 'echo "late: $(slc reboot 2>&1)" >/dev/console; exit' TERM
    while :; do sleep 0.2; done
stop_grace_period: 20s
"""
SPEC = Spec(examples=("cron", "network-up"), units={"frozen": FROZEN, "failing": FAILING})


def waits_in_the_kernel(machine):
    """Scenario S5: a stop of a service in state D is explained, starts nothing over it, and ends by itself."""
    machine.up()
    machine.run("slc start frozen")
    waits = "pid=$(pgrep -x dd) && grep -q 'State:.D' /proc/$pid/status && echo $pid"
    pid = machine.until(waits, what="dd in state D").strip()
    machine.run("slc stop --no-wait frozen")
    stuck = rf"Stuck +{pid} waits in the kernel \(\w+\)"
    seen = "slc status frozen >/run/seen; cat /run/seen; grep -q '^  State *killing' /run/seen"
    status = machine.until(seen, what="the kill")
    if not re.search(r"State +killing", status) or not re.search(stuck, status):
        raise Failed(f"expected killing, and {pid} named with its wait channel; saw\n{status}")
    machine.run("slc start --no-wait frozen; slc list | grep -q '^frozen *killing'; slc status cron")
    machine.run("fsfreeze --unfreeze /run/frozen")
    status = machine.until("slc status frozen | grep '^  State *up' && slc status frozen", what="the next start")
    if "number 2" not in status or machine.run("pgrep -x dd", status=None).strip():
        raise Failed(f"expected start 2, and no dd; saw\n{status}")
    machine.run("slc stop frozen && umount /run/frozen")


def clock_jumps(machine):
    """Scenario P10: the clock is set forward and back by a day, and no time-out comes early or late."""
    machine.run("slc start failing", status=None)
    machine.until("slc list | grep '^failing *waiting'")
    began, jumps = time.monotonic(), 0
    starts = "slc status --json failing | sed 's/.*\"start\": *\\([0-9]*\\).*/\\1/' | grep -m1 -x '[0-9]*'"
    first = int(machine.run(starts))
    for jump in ("+1 day", "-2 days", "+1 day"):
        machine.run(f"date -s '{jump}' >/dev/null")
        jumps += 1
        if int(machine.run(starts)) != first and time.monotonic() - began < 15:
            raise Failed(f"expected the pause to go on; after {jump} there was another start")
    machine.until(f"test $({starts}) -gt {first}", limit=90, what="the next start after its pause of 20 s")
    took = time.monotonic() - began
    if took < 15:
        raise Failed(f"expected the next start after 20 s; it came after {took:.0f} s")
    machine.run("slc stop failing; slc status cron; slc journal -n 3 treeward")


def noons(machine, count, what):
    """Waits until both that run at noon have run so often, sees that they do not once more, and that they
    wait for the next noon of the clock as it is."""
    ran = "test $(cat /run/noon | wc -l) -ge {0} && test $(cat /run/noon-kept | wc -l) -ge {0}"
    machine.until(f"{ran.format(count)} || {{ slc list --timers; date; exit 1; }}", limit=40, what=what)
    time.sleep(2)
    seen = machine.run(f"{ran.format(count + 1)} && exit 1; slc list --timers", status=None)
    noon = machine.run("date -d \"$(test $(date +%H) -lt 12 || echo '+1 day')\" +%F").strip() + " 12:00:00"
    if seen.count(noon) != 2:
        raise Failed(f"expected {what}, {count} runs of both and {noon} for the next; saw\n{seen}")


def timers_follow_the_clock(machine):
    """A clock that is set makes a noon that it leaps due once, one that it repeats due again, and no interval."""
    machine.run("date -s '2030-06-05 11:00:00'")
    for name, text in (("noon", NOON), ("noon-kept", NOON_KEPT), ("tick", TICK), ("brief", BRIEF)):
        machine.write(f"/etc/yml-services/{name}.yml", text)
    machine.run("touch /run/noon /run/noon-kept; slc reload")
    noons(machine, 0, "nothing before noon")
    machine.run("date -s '2030-06-08 13:00:00'")
    noons(machine, 1, "one run for three noons that were left out")
    machine.run("date -s '2030-06-10 13:00:00'")
    noons(machine, 2, "another for two noons after a run")
    machine.run("date -s '2030-06-05 11:59:55'")
    noons(machine, 3, "a run at a noon that comes again")
    # The supervisor learns of the clock in the same moment as that a timer's run has ended.
    machine.run(
        "pid=$(cat /run/treeward/lock); slc start --no-wait brief && kill -STOP $pid && sleep 2;"
        " date -s '2030-06-01 11:59:55'; kill -CONT $pid"
    )
    noons(machine, 4, "a run at noon though the supervisor was busy when the clock was set")
    ticks = [float(tick) for tick in machine.run("cat /run/tick").split()]
    machine.run("slc stop tick noon noon-kept")
    gaps = [now - before for before, now in zip(ticks, ticks[1:])]
    if len(gaps) < 3 or min(gaps) < 4 or max(gaps) > 15:
        raise Failed(f"expected a run every 5 s; saw them at {ticks}")


def two_orders_to_end(machine):
    """Scenario P15: the first order to end the machine counts, and who gives a second is told so."""
    machine.write("/etc/yml-services/late.yml", LATE)
    machine.run("slc reload && slc list | grep '^late *up'")
    machine.send("slc poweroff")
    machine.on_console(r"^late: .*(going down|poweroff)", what="what the second order was told")
    machine.ends("power off")


SCENES = [waits_in_the_kernel, clock_jumps, timers_follow_the_clock, two_orders_to_end]
