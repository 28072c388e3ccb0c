"""Treeward: a YAML file per unit, service-launcher, slc."""

import json
import socket
from pathlib import Path
from typing import Any

from .base import GRACE, Peer, Service


class Treeward(Peer):
    name = "Treeward"
    logs = {"stamped"}

    def write_config(self, services: list[Service]) -> None:
        units = self._path("units")
        units.mkdir()
        for service in services:
            lines = [
                # JSON's strings and lists are YAML too, so no quoting is invented here.
                f"command: {json.dumps(service.command)}",
                'restart: "no"' if service.on_order else "restart: always",
                "restart_delay: 0s",
                f"stop_grace_period: {GRACE}s",
            ]
            if service.on_order:
                lines.append("enabled: false")
            (units / f"{service.name}.yml").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        places = {
            "--units": self._path("units"),
            "--run-dir": self._path("run"),
            "--log-dir": self.stage.logs,
            "--cgroup-root": self.stage.cgroup,
        }
        options = [word for option, path in places.items() for word in (option, str(path))]
        return [str(self.stage.treeward / "service-launcher"), *options]

    def status_one(self, service: str) -> list[str]:
        return self._slc("status", service)

    def list_all(self) -> list[str]:
        return self._slc("list")

    def up(self) -> int:
        services = self._call("org.treeward.Supervisor.List")["services"]
        return sum(service["state"] == "up" for service in services)

    def start_one(self, service: str) -> list[str]:
        return self._slc("start", service)

    def restart_one(self, service: str) -> list[str]:
        return self._slc("restart", service)

    def stop_one(self, service: str) -> list[str]:
        return self._slc("stop", service)

    def log_files(self, service: str) -> list[Path]:
        """The rotated `NAME.log.N`, of which the highest is the oldest, and `NAME.log`."""
        current = self.stage.logs / f"{service}.log"
        older = current.parent.glob(f"{service}.log.*")
        rotated = [path for path in older if path.suffix[1:].isdigit()]
        rotated.sort(key=lambda path: -int(path.suffix[1:]))
        return [path for path in (*rotated, current) if path.exists()]

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _socket(self) -> str:
        return str(self._path("run") / "control.sock")

    def _slc(self, *words: str) -> list[str]:
        return [str(self.stage.treeward / "slc"), "--socket", self._socket(), *words]

    def _call(self, method: str) -> dict[str, Any]:
        """One Varlink call."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(self._socket())
            connection.sendall(json.dumps({"method": method}).encode() + b"\0")
            answer = b""
            while not answer.endswith(b"\0"):
                answer += connection.recv(1 << 16)
        parameters: dict[str, Any] = json.loads(answer[:-1])["parameters"]
        return parameters
