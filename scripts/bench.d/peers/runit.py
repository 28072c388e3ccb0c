"""runit, as runsvdir(8), runsv(8) and sv(8) say: a directory per service with a run script.

runit has no way to follow a daemon that forks (its FAQ: run it in the foreground), so such a daemon
is given to it as it is.
"""

import os
import shlex
import signal
from pathlib import Path

from .base import GRACE, Peer, Service, write_script


class Runit(Peer):
    name = "runit"
    package = "runit"
    stop_signal = signal.SIGHUP  # runsvdir(8): TERM to every runsv, then leave.

    def write_config(self, services: list[Service]) -> None:
        self._names = [service.name for service in services]
        for service in services:
            directory = self._directory(service.name)
            write_script(directory / "run", f"exec {shlex.join(service.command)}")
            if service.on_order:
                (directory / "down").touch()
            if service.log:
                log = self._log(service.name)
                log.mkdir()
                (log / "config").write_text("s0\n")  # svlogd(8): never rotate.
                stamp = "-tt " if service.log == "stamped" else ""
                write_script(directory / "log" / "run", f"exec svlogd {stamp}{log}")
        # runsvdir sleeps for a second when the directory was changed in the current one.
        os.utime(self._directory(), (0, 0))

    def command(self) -> list[str]:
        return ["runsvdir", "-P", str(self._directory())]

    def status_one(self, service: str) -> list[str]:
        return ["sv", "status", str(self._directory(service))]

    def list_all(self) -> list[str]:
        return ["sv", "status", *(str(self._directory(name)) for name in self._names)]

    def up(self) -> int:
        return sum(line.startswith("run:") for line in self.run(self.list_all()).splitlines())

    def start_one(self, service: str) -> list[str]:
        return ["sv", "once", str(self._directory(service))]

    def restart_one(self, service: str) -> list[str]:
        return ["sv", "restart", str(self._directory(service))]

    def stop_one(self, service: str) -> list[str]:
        return ["sv", "-w", str(GRACE), "force-stop", str(self._directory(service))]

    def log_files(self, service: str) -> list[Path]:
        return [path for path in [self._log(service) / "current"] if path.exists()]

    def _directory(self, service: str = "") -> Path:
        return self.directory / "services" / service

    def _log(self, service: str) -> Path:
        return self.stage.logs / f"{service}.log"
