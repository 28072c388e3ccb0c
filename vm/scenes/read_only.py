"""The root is read-only, and stays so: the machine comes up, and says what it cannot write."""

from machine.boot import Spec

SPEC = Spec(
    root="ext4", examples=("agetty@ttyS0", "network-up"),
    fstab="/dev/vda / ext4 ro 0 0\n",
)


def comes_up(machine):
    """Services run, and the console tells that the log cannot be written."""
    machine.console.expect(r"login: $", 180, "a login prompt")
    machine.up()
    machine.run("grep -E ' / ext4 ro' /proc/mounts; slc list | grep -E '^agetty@ttyS0 +up '")
    machine.on_console(r"Read-only file system", what="a line about what cannot be written")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [comes_up, power_off]
