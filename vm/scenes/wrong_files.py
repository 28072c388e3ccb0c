"""Files of /etc that are wrong or missing: each gets a line on the console, and the machine comes up."""

from machine.boot import Spec

SPEC = Spec(
    examples=("cron",),
    units={"broken": "comand: /usr/sbin/nginx\n"},
    fstab="""
overlay            /          overlay  rw        0 0
/dev/nowhere       /data      ext4     defaults  0 2
/dev/maybe         /maybe     ext4     nofail    0 2
tmpfs              /media     nosuchfs defaults  0 0
only-two           /words
tmpfs              /srv       tmpfs    size=1m   0 0
/dev/nowhere-swap  none       swap     sw        0 0
""",
    append="vm.remove=/etc/hostname",
)


def comes_up(machine):
    """The machine comes up, and what can be mounted is."""
    machine.up()
    machine.run("slc list | grep -E '^cron +up '; grep ' /srv tmpfs ' /proc/mounts")


def wrong_fstab(machine):
    """Each wrong line of the fstab is named on the console."""
    for what in ("/dev/nowhere", "/media", "line 6", "/dev/nowhere-swap"):
        machine.on_console(rf"^.*{what}\b.*$", 10, f"a line about {what}")


def missing_hostname(machine):
    """A missing /etc/hostname is named."""
    machine.on_console(r"^.*/etc/hostname.*$", 10, "a line about /etc/hostname")


def broken_unit(machine):
    """A unit that is wrong is named on the console and in slc list, and the others run."""
    machine.on_console(r"broken\.yml:1:1.*comand", 10)
    machine.run("slc list | grep 'broken.*comand'")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [comes_up, wrong_fstab, missing_hostname, broken_unit, power_off]
