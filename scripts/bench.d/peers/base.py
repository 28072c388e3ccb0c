"""What all measured programs have in common."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cgroup
import processes
from stage import Stage


class PeerFailed(Exception):
    """A program did not do what a measurement needs; the others are measured all the same."""


@dataclass
class Service:
    """One service as the benchmark wants it; each program puts it into its own words."""

    name: str
    command: list[str]
    pid_file: Path | None = None  # It forks into the background and writes this file.
    on_order: bool = False  # It starts by `start_one` only, and is not restarted.
    log: str = ""  # Its lines must be kept: "stamped" with the time of each, or "plain".

    @property
    def forks(self) -> bool:
        return self.pid_file is not None


GRACE = 2  # Seconds between TERM and KILL, wherever a program lets us say so.


class Peer:
    """A supervisor on its stage. Subclasses say how it is configured, started and asked."""

    name = ""
    package = ""  # Debian's, if it comes from there.
    logs = {"stamped", "plain"}  # How it can keep lines.

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.directory = stage.directory
        self._process: subprocess.Popen[bytes] | None = None

    # The verbs every program has in its own way.

    def write_config(self, services: list[Service]) -> None:
        raise NotImplementedError

    def command(self) -> list[str]:
        """How the supervisor is started, in the foreground."""
        raise NotImplementedError

    def status_one(self, service: str) -> list[str]:
        """The command that shows the state of one service."""
        raise NotImplementedError

    def list_all(self) -> list[str]:
        """The command that shows the state of all services."""
        raise NotImplementedError

    def up(self) -> int:
        """How many services the program says are up."""
        raise NotImplementedError

    def start_one(self, service: str) -> list[str]:
        raise NotImplementedError

    def restart_one(self, service: str) -> list[str]:
        raise NotImplementedError

    def stop_one(self, service: str) -> list[str]:
        """The command that stops a service, by force when GRACE is over."""
        raise NotImplementedError

    def log_files(self, service: str) -> list[Path]:
        """The files with the service's lines, oldest first."""
        raise NotImplementedError

    stop_signal = signal.SIGTERM  # What makes the supervisor stop all services and leave.

    # The verbs that are the same for all.

    def start(self) -> None:
        """Starts the supervisor in the stage's cgroup; `slots.supervisor_time()` is its exec."""
        slots = self.stage.slots
        launch = [self.tool("launch"), str(self.stage.cgroup), str(slots.path), str(slots.count)]
        with open(self.directory / "supervisor.out", "wb") as output:
            self._process = subprocess.Popen(
                launch + self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the benchmark alone.
            )

    def wait_all_up(self, seconds: float = 120) -> float:
        """Waits for the first instruction of every service; gives the seconds since the exec."""
        last = self.stage.slots.wait_all(seconds)
        if last is None:
            raise PeerFailed(f"not all services started within {seconds:g} s: {self._last_words()}")
        return (last - self.stage.slots.supervisor_time()) / 1e9

    def first_answer(self, service: str) -> float:
        """Starts the supervisor; gives the seconds from its exec until it answers for a service."""
        self.start()
        probe = self.run([self.tool("timeit"), "--until-answer", "60", *self.status_one(service)])
        return (int(probe) - self.stage.slots.supervisor_time()) / 1e9

    def supervisors(self) -> set[int]:
        """The supervisor's own processes, all of them."""
        pids = cgroup.processes(self.stage.cgroup)
        return {pid for pid in pids if not processes.is_service(pid)}

    def survivors(self) -> int:
        """How many processes of services exist."""
        pids = cgroup.processes(self.stage.cgroup)
        return sum(processes.is_service(pid) for pid in pids)

    def pss(self) -> float:
        """MB of memory the supervisor's own processes hold."""
        return processes.memory_mb(self.supervisors())

    def stop_all(self) -> None:
        """Tells the supervisor to stop all services and to leave; does not wait for it."""
        self.running().send_signal(self.stop_signal)

    def wait_gone(self, seconds: float) -> None:
        """Waits until the supervisor itself has left."""
        try:
            self.running().wait(seconds)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"did not leave within {seconds:g} s of its stop signal") from None

    def cleanup(self) -> None:
        """Ends every process that is left and removes the stage."""
        if self._process is not None and self._process.poll() is None:
            # The cgroup holds it, unless it had no time yet to move there.
            self._process.kill()
        self.stage.remove()
        if self._process is not None:
            self._process.wait()

    def running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise PeerFailed("was not started")
        return self._process

    def tool(self, name: str) -> str:
        """The path of one of the programs in c/."""
        return str(self.stage.programs / f"bench-{name}")

    def run(self, command: list[str], seconds: float = 90) -> str:
        """Runs a command to its end and gives its output; its exit status must be 0."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-300:]
            raise PeerFailed(f"{' '.join(command)[:120]}: exit {done.returncode}: {words}")
        return done.stdout

    def _last_words(self) -> str:
        return (self.directory / "supervisor.out").read_text(errors="replace")[-300:].strip()


def write_script(path: Path, body: str) -> None:
    """Writes an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    os.chmod(path, 0o755)
