"""QEMU: which accelerator answers, its command line, its process, its monitor."""

import json
import socket
import subprocess
import tempfile
from pathlib import Path

from .disk import PLACE
from .line import Failed, Line

PROGRAM = "qemu-system-x86_64"


class Qemu:
    """A running QEMU with lines to its serial ports and its monitor."""

    def __init__(self, arguments, lines, console_log):
        """`lines` names the serial ports in order; `console_log` takes a copy of the first."""
        ends, theirs = {}, []
        # It must not outlive who drives it, however that ends.
        command = ["setpriv", "--pdeathsig=KILL", PROGRAM]
        command += ["-display", "none", "-no-user-config", "-nodefaults", "-no-reboot", *arguments]
        for name in [*lines, "monitor"]:
            ours, its = socket.socketpair()
            ends[name] = ours
            theirs.append(its)
            command += ["-chardev", f"socket,id={name},fd={its.fileno()}"]
            if name == "monitor":
                command += ["-mon", "monitor,mode=control"]
            else:
                command += ["-serial", f"chardev:{name}"]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
            pass_fds=[its.fileno() for its in theirs],
        )
        for its in theirs:
            its.close()
        self.lines = {
            name: Line(ends[name], name, console_log if name == lines[0] else None) for name in lines
        }
        self.monitor = Line(ends["monitor"], "QEMU's monitor")
        self.monitor.send('{"execute": "qmp_capabilities"}\n')

    def key(self, keys):
        """Presses keys of the machine's keyboard, such as "ctrl-alt-delete"."""
        order = {"execute": "human-monitor-command", "arguments": {"command-line": f"sendkey {keys}"}}
        self.monitor.send(json.dumps(order) + "\n")

    def ended(self, limit):
        """Waits for the end of the machine and says how it came: "power off", "reboot", or what QEMU says."""
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"expected the machine to end, and {limit:g} s passed") from None
        for line in (self.monitor, *self.lines.values()):
            line.reader.join(10)
        for event in self.monitor.text.splitlines():
            if event.startswith("{") and json.loads(event).get("event") == "SHUTDOWN":
                reason = json.loads(event)["data"]["reason"]
                return {"guest-shutdown": "power off", "guest-reset": "reboot"}.get(reason, reason)
        self.errors.seek(0)
        return f"QEMU ended with {status}: {self.errors.read().decode(errors='replace').strip()}"

    def close(self):
        """Ends it, however it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.errors.close()
        for line in (self.monitor, *self.lines.values()):
            line.reader.join(10)
            line.socket.close()


def accelerator():
    """KVM only where a guest really answers under it within ten seconds: where virtual machines are
    nested, /dev/kvm may open and the guest hang. What came out is kept until the next boot of the host.
    """
    if not Path("/dev/kvm").exists():
        return ["-accel", "tcg,thread=multi", "-cpu", "max"]
    known = PLACE / "accelerator"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if not known.exists() or known.read_text().split()[0] != boot:
        known.write_text(f"{boot} {'kvm' if answers_under_kvm() else 'tcg'}\n")
    if known.read_text().split()[1] == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


def answers_under_kvm():
    """Boots the cloud kernel to its initramfs, which says a word and powers off."""
    qemu = Qemu([
        "-accel", "kvm", "-cpu", "host", "-m", "256", "-kernel", str(PLACE / "vmlinuz-cloud"),
        "-initrd", str(PLACE / "initrd-cloud.cpio"), "-append", "console=ttyS0 quiet panic=-1 vm.probe",
    ], ["console"], None)
    try:
        qemu.lines["console"].expect("vm: a guest has answered", 10)
    except Failed:
        return False
    finally:
        qemu.close()
    return True
