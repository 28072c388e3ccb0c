"""Treeward as /init of an initramfs that has four static programs, busybox and nothing else."""

from machine.boot import INITRAMFS_UNITS, Spec

SPEC = Spec(root="initramfs", units=INITRAMFS_UNITS, memory=512)


def shell_on_console(machine):
    """A shell on the serial line, as a unit; /proc, /sys, /dev, /run and cgroup2 are mounted."""
    machine.up()
    machine.console.send("\necho process 1 is $(cat /proc/1/comm)\n")
    machine.console.expect(r"^process 1 is init$", 60)
    machine.run("for at in /proc /sys /dev /dev/pts /dev/shm /run /sys/fs/cgroup; do grep \" $at \" /proc/mounts; done")


def services(machine):
    """slc list, slc restart and slc journal."""
    machine.run("slc list | grep -E '^shell-ttyS0 +up '")
    machine.run("slc restart shell-ttyS0 && slc journal treeward | grep shell-ttyS0")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [shell_on_console, services, power_off]
