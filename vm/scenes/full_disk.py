"""The root is full: the machine comes up, and says so."""

from machine.boot import Spec

SPEC = Spec(
    examples=("cron", "network-up"),
    units={"talker": "command: [sh, -c, 'while :; do echo still here; sleep 1; done']\nstop_signal: KILL\n"},
    append="vm.overlay=12m vm.full",
)


def comes_up(machine):
    """Services run, and the console tells that the log cannot be written."""
    machine.up()
    machine.run("slc list | grep -E '^talker +up '; dd if=/dev/zero of=/more count=1 2>&1 | grep 'No space'")
    machine.on_console(r"No space left", what="a line about the full disk")


def room_again(machine):
    """When there is room again the log goes on."""
    machine.run("rm /full /more")
    machine.until("slc journal talker | grep 'still here'")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [comes_up, room_again, power_off]
