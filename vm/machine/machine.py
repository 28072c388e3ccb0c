"""One machine from power-on to power-off."""

import base64
import shlex
import time

from . import boot
from .line import Failed
from .qemu import Qemu, accelerator

# Without KVM a boot takes six to nine seconds on an idle machine; where others work as well it may be
# many times that. A limit is for what will never come.
BOOT = 180
SOON = 90


class Machine:
    """A machine that boots at once; `directory` takes its disks and its console log."""

    def __init__(self, spec, directory):
        self.spec, self.directory = spec, directory
        directory.mkdir(parents=True, exist_ok=True)
        boot.prepare(spec, directory)
        self.qemu = None
        self.shell_number = 0
        self.boot()

    def boot(self):
        """Power on; again after an end, with the disk as it was left."""
        if self.qemu:
            self.close()
        self.console_log = open(self.directory / "console", "ab")
        arguments = accelerator() + boot.arguments(self.spec, self.directory)
        self.qemu = Qemu(arguments, ["console", "vm-shell"], self.console_log)
        self.console = self.qemu.lines["console"]
        self.line = self.qemu.lines["vm-shell"]

    def up(self):
        """Waits until the shell on the second serial line answers, which is a unit of Treeward."""
        self.line.expect(r"^vm-shell: ready$", BOOT, "the unit vm-shell", again=True)
        return self

    def send(self, script):
        """Gives a script to the machine's shell and does not wait, for what ends the machine; gives
        the number of the answer."""
        self.shell_number += 1
        self.line.send(f"{self.shell_number} " + base64.b64encode(script.encode()).decode() + "\n")
        return self.shell_number

    def run(self, script, limit=SOON, status=0):
        """Runs a shell script inside and gives its output. It must end with `status`, or with any
        where that is None."""
        ended, output = self.answer(script, limit)
        if status is not None and ended != status:
            raise Failed(f"expected {shorten(script)} to exit with {status}; it did with {ended}:\n{output}")
        return output

    def answer(self, script, limit):
        """Runs a script inside and gives its exit status and output."""
        number = self.send(script)
        answer = self.line.expect(
            rf"^{number} begins\n([^-]*)^-{number} ends (\d+)$", limit, f"the end of {shorten(script)}"
        )
        return int(answer[2]), base64.b64decode(answer[1]).decode(errors="replace")

    def until(self, script, limit=SOON, what=None):
        """Runs a script inside until it exits with 0, and gives its output then."""
        stop = time.monotonic() + limit
        while True:
            ended, output = self.answer(script, max(limit, SOON))
            if ended == 0:
                return output
            if time.monotonic() > stop:
                raise Failed(
                    f"expected {what or shorten(script) + ' to succeed'} within {limit:g} s; last it gave"
                    f" {ended}:\n{output}"
                )
            time.sleep(0.2)

    def write(self, path, text):
        """Writes a file inside."""
        self.run(f"mkdir -p $(dirname {path}) && printf %s {shlex.quote(text)} >{path}")

    def maintenance(self):
        """Answers sulogin(8) on the console with root's password, and waits for its shell."""
        self.console.expect(r"\(or press Control-D to continue\): $", SOON, "the question for root's password")
        for _ in range(5):
            # What comes before it has turned the echo off is thrown away, and it does not say when.
            self.console.send("treeward\n")
            try:
                return self.console.expect(r"# $", 20)
            except Failed:
                continue
        raise Failed("expected the prompt of the emergency shell after root's password; there is none")

    def on_console(self, pattern, limit=SOON, what=None):
        """Waits for a text that was, or will be, on the console of this boot."""
        return self.console.expect(pattern, limit, what, again=True)

    def ends(self, how, limit=SOON):
        """Waits for the end of the machine, which must be `how`: "power off" or "reboot"."""
        seen = self.qemu.ended(limit)
        if seen != how:
            raise Failed(f"expected the machine to end by {how}; it ended by {seen}")
        if "Kernel panic" in self.console.text:
            raise Failed(f"expected {how}; the kernel panicked")

    def alive(self):
        """Whether it still runs."""
        return self.qemu.process.poll() is None

    def close(self):
        """Ends it, however it is; its disks stay."""
        self.qemu.close()
        self.console_log.close()


def shorten(script):
    """The first line of a script, for a message."""
    first, *more = script.strip().splitlines() or [""]
    return f"`{first}{' ...' if more else ''}`"
