"""The ways in which a machine ends; nothing was mounted before init came."""

from machine.boot import Spec

SPEC = Spec(examples=("cron",), handed_over=False)


def ctrl_alt_del(machine):
    """Ctrl-Alt-Del at the keyboard reboots, after the services were stopped."""
    machine.up()
    machine.run("slc status cron")
    machine.qemu.key("ctrl-alt-delete")
    machine.ends("reboot")


def sigusr1(machine):
    """SIGUSR1 to process 1: power off."""
    machine.boot()
    machine.up()
    machine.send("kill -USR1 1")
    machine.ends("power off")


def sigterm(machine):
    """SIGTERM to process 1: reboot."""
    machine.boot()
    machine.up()
    machine.send("kill -TERM 1")
    machine.ends("reboot")


def slc_reboot(machine):
    """slc reboot."""
    machine.boot()
    machine.up()
    machine.send("slc reboot")
    machine.ends("reboot")


def slc_halt(machine):
    """slc halt: the kernel stops, and the power stays on."""
    machine.boot()
    machine.up()
    machine.send("slc halt")
    machine.on_console("reboot: System halted", what="the kernel's word that it has halted")


SCENES = [ctrl_alt_del, sigusr1, sigterm, slc_reboot, slc_halt]
