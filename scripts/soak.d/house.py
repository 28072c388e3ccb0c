"""A supervisor with directories and a cgroup of its own, and an init that restarts it."""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

INTERFACE = "org.treeward.Supervisor"
PR_SET_CHILD_SUBREAPER = 36


class Trouble(Exception):
    """Something that must not be: what, and the unit concerned where there is one."""

    def __init__(self, what: str, unit: str | None = None):
        super().__init__(what)
        self.unit = unit


class House:
    """Everything of one soak on the disk and in the kernel."""

    def __init__(self, launcher: str):
        self.binary = os.path.abspath(launcher)
        self.dir = Path(tempfile.mkdtemp(prefix="treeward-soak-"))
        self.cgroup = cgroup_mount() / f"treeward-soak-{os.getpid()}"
        self.cgroup.mkdir()
        for name in ("units", "run", "log"):
            (self.dir / name).mkdir(mode=0o755)
        (self.dir / "go").touch()
        self.supervisor: int | None = None
        # Whatever loses its parent comes to us, as it would come to an init.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    def launch(self) -> None:
        """Starts the supervisor and does not wait for it."""
        arguments = [self.binary, f"--units={self.dir}/units", f"--run-dir={self.dir}/run",
                     f"--log-dir={self.dir}/log", f"--cgroup-root={self.cgroup}",
                     "--log-size=262144", "--log-count=200"]
        with (self.dir / "launcher.log").open("ab") as log:
            self.supervisor = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid

    def kill(self) -> None:
        """Kills the supervisor and buries it."""
        os.kill(self.supervisor, signal.SIGKILL)
        os.waitpid(self.supervisor, 0)
        self.supervisor = None

    def bury(self) -> None:
        """Buries orphans, as an init does. The supervisor must not be among the dead."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.supervisor:
                raise Trouble(f"the supervisor ended by itself, wait status {status}")

    def call(self, method: str, seconds: float = 30, **parameters) -> dict:
        """Calls a method; OSError when the connection broke, ValueError for a refusal."""
        message = {"method": f"{INTERFACE}.{method}", "parameters": parameters}
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(seconds)
            client.connect(str(self.dir / "run/control.sock"))
            client.sendall(json.dumps(message).encode() + b"\0")
            answer = b""
            while not answer.endswith(b"\0"):
                piece = client.recv(65536)
                if not piece:
                    raise ConnectionError("the connection was closed")
                answer += piece
        answer = json.loads(answer[:-1])
        if "error" in answer:
            raise ValueError(json.dumps(answer))
        return answer["parameters"]

    def answers(self, seconds: float = 30) -> None:
        """Waits until the supervisor answers."""
        until = time.monotonic() + seconds
        while True:
            try:
                self.call("Version", 5)
                return
            except OSError:
                self.bury()
                if time.monotonic() > until:
                    raise Trouble("the supervisor does not answer") from None
                time.sleep(0.01)

    def lane(self) -> int | None:
        """The log lane's process."""
        try:
            return int((self.dir / "run/journal.lock").read_text())
        except (OSError, ValueError):
            return None

    def units_with_cgroup(self) -> list[str]:
        try:
            return [path.name for path in (self.cgroup / "services").iterdir() if path.is_dir()]
        except OSError:
            return []

    def populated(self, unit: str) -> list[int]:
        """The starts of a unit that have processes, looked at from the newest to the oldest: one
        that starts only when the one before it has ended is never seen beside it."""
        found = []
        try:
            names = [path.name for path in (self.cgroup / "services" / unit).iterdir()]
        except OSError:
            return []
        for start in sorted((int(name) for name in names if name.isdigit()), reverse=True):
            leaf = self.cgroup / "services" / unit / str(start)
            if "populated 1" in read(leaf / "cgroup.events"):
                found.append(start)
        return found

    def pids(self, unit: str = "") -> list[int]:
        """The processes of a unit, or of all."""
        top = self.cgroup / "services" / unit
        texts = (read(Path(folder) / "cgroup.procs") for folder, _, _ in os.walk(top))
        return [int(pid) for text in texts for pid in text.split()]

    def close(self, keep: bool) -> None:
        """Leaves nothing behind, whatever has happened."""
        if self.cgroup.exists():
            (self.cgroup / "cgroup.kill").write_text("1")
        if self.supervisor is not None:
            os.kill(self.supervisor, signal.SIGKILL)
            os.waitpid(self.supervisor, 0)
            self.supervisor = None
        lane = self.lane()
        if lane is not None and str(self.dir) in read(Path(f"/proc/{lane}/cmdline")):
            os.kill(lane, signal.SIGKILL)
        until = time.monotonic() + 10
        while self.cgroup.exists() and time.monotonic() < until:
            self.bury()
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    time.sleep(0.01)
        if not keep:
            shutil.rmtree(self.dir)


def read(path: Path) -> str:
    """What a file holds; nothing when it is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def cgroup_mount() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if re.search(r" - cgroup2 ", line):
            return Path(line.split()[4])
    raise SystemExit("scripts/soak: cgroup2 is not mounted here")
