"""The supervisor's program is missing: a shell on the console, and no kernel panic."""

from machine.boot import Spec

SPEC = Spec(append="vm.remove=/service-launcher,/usr/local/bin/service-launcher", shell=False)


def emergency_shell(machine):
    """What is missing is said, and a shell answers on the console."""
    machine.console.expect(r"service-launcher", 180, "a line about service-launcher")
    machine.console.expect(r"(?i)shell", 300, "a word about the emergency shell")
    machine.maintenance()
    machine.console.send("echo process 1 is $(cat /proc/1/comm), $((6 * 7))\n")
    machine.console.expect(r"^process 1 is init, 42$", 60, "the shell's answer")


def power_off(machine):
    """The machine can be powered off from there."""
    machine.console.send("kill -USR1 1\n")
    machine.ends("power off")


SCENES = [emergency_shell, power_off]
