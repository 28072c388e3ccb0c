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
    status = machine.until("slc status frozen; slc status frozen | grep -q '^  State *killing'", what="the kill")
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


def two_orders_to_end(machine):
    """Scenario P15: the first order to end the machine counts, and who gives a second is told so."""
    machine.write("/etc/yml-services/late.yml", LATE)
    machine.run("slc reload && slc list | grep '^late *up'")
    machine.send("slc poweroff")
    machine.on_console(r"^late: .*(going down|poweroff)", what="what the second order was told")
    machine.ends("power off")


SCENES = [waits_in_the_kernel, clock_jumps, two_orders_to_end]
