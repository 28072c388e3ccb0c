"""s6: s6-svscan over a scan directory, s6-svc, s6-svstat, s6-log.

A service that stays in the foreground tells its readiness, because s6 restarts at once only what
was ready; anything else waits for a second. A daemon that forks is given to it under s6-fghack, the
wrapper s6 has for daemons that cannot stay in the foreground.
"""

import shlex
from pathlib import Path

from .base import GRACE, Peer, Service, write_script


class S6(Peer):
    name = "s6"
    package = "s6"

    def write_config(self, services: list[Service]) -> None:
        self._names = [service.name for service in services]
        for service in services:
            directory = self._directory(service.name)
            command = shlex.join(service.command)
            if service.forks:
                write_script(directory / "run", f"exec s6-fghack {command}")
            else:
                write_script(directory / "run", f"echo >&3\nexec 3>&-\nexec {command}")
                (directory / "notification-fd").write_text("3\n")
            (directory / "timeout-kill").write_text(f"{GRACE * 1000}\n")
            if service.on_order:
                (directory / "down").touch()
            if service.log:
                # T: a stamp in ISO 8601 on every line. s268435455: no rotation before 268 MB.
                stamp = "T " if service.log == "stamped" else ""
                log = f"exec s6-log {stamp}n20 s268435455 {self._log(service.name)}"
                write_script(directory / "log" / "run", log)

    def command(self) -> list[str]:
        return ["s6-svscan", "-c", "20000", str(self._directory())]

    def status_one(self, service: str) -> list[str]:
        return ["s6-svstat", str(self._directory(service))]

    def list_all(self) -> list[str]:
        # s6 has no command for all services; this is how one looks at them.
        return ["sh", "-c", f"for d in {self._directory()}/*; do s6-svstat $d; done"]

    def up(self) -> int:
        return sum(line.startswith("up ") for line in self.run(self.list_all()).splitlines())

    def start_one(self, service: str) -> list[str]:
        return ["s6-svc", "-o", str(self._directory(service))]

    def restart_one(self, service: str) -> list[str]:
        return ["s6-svc", "-r", str(self._directory(service))]

    def stop_one(self, service: str) -> list[str]:
        return ["s6-svc", "-wD", "-d", str(self._directory(service))]

    def log_files(self, service: str) -> list[Path]:
        log = self._log(service)
        return [*sorted(log.glob("@*")), *log.glob("current")]

    def _directory(self, service: str = "") -> Path:
        return self.directory / "scan" / service

    def _log(self, service: str) -> Path:
        return self.stage.logs / f"{service}.log"
