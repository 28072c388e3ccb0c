"""The unit directory cannot be read: a shell on the console; when it is repaired there, the machine goes on."""

from machine.boot import Spec

SPEC = Spec(append="treeward.units=/etc/nowhere")


def emergency_shell(machine):
    """The directory is named, and a shell answers on the console."""
    machine.console.expect(r"^.*/etc/nowhere.*$", 180, "a line about /etc/nowhere")
    machine.console.expect(r"(?i)shell", 300, "a word about the emergency shell")
    machine.maintenance()


def repaired(machine):
    """A directory is made there, the shell left, and the supervisor runs."""
    machine.console.send("ln -s /etc/yml-services /etc/nowhere; exit\n")
    machine.up()
    machine.run("slc list")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off")


SCENES = [emergency_shell, repaired, power_off]
