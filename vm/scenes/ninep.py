"""The article's own machine: its root is a directory of the host, over 9p, under Debian's generic kernel."""

from machine.boot import Spec
from machine.line import Failed

SPEC = Spec(
    root="9p", examples=("agetty@ttyS0", "cron", "network-up"),
    fstab="root0 / 9p trans=virtio,version=9p2000.L,cache=loose 0 0\n",
)


def login_prompt(machine):
    """Boots to a login prompt, with / writable as the fstab says."""
    machine.console.expect(r"treeward login: $", 300, "a login prompt")
    machine.up()
    machine.run("grep -E '^root0 / 9p rw' /proc/mounts; slc list", 180)


def journal(machine):
    """slc journal works on such a root, and the host sees the same file."""
    machine.until("slc journal treeward | grep 'cron: starting -> up' && sync", 180)
    log = machine.directory / "root/var/log/treeward/treeward.log"
    if "cron: starting -> up" not in log.read_text():
        raise Failed(f"expected the start of cron in {log}; saw\n{log.read_text()}")


def power_off(machine):
    """slc poweroff."""
    machine.send("slc poweroff")
    machine.ends("power off", 180)


SCENES = [login_prompt, journal, power_off]
