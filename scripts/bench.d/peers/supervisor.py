"""supervisor: one file of program sections, supervisord, supervisorctl.

A daemon that forks and has a PID file is given to it under pidproxy, as its manual says.
"""

import http.client
import shlex
import socket
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from .base import GRACE, Peer, PeerFailed, Service


class Supervisor(Peer):
    name = "supervisor"
    package = "supervisor"
    logs = {"plain"}

    def write_config(self, services: list[Service]) -> None:
        sections = [
            f"[unix_http_server]\nfile={self._socket()}",
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory ="
            " supervisor.rpcinterface:make_main_rpcinterface",
            f"[supervisorctl]\nserverurl=unix://{self._socket()}",
            # Three descriptors for every program; the default of 1,024 ends at some 300 programs.
            f"[supervisord]\nnodaemon=true\nminfds={1024 + 4 * len(services)}\nuser=root\n"
            f"logfile={self.directory}/supervisord.log\npidfile={self.directory}/supervisord.pid\n"
            f"childlogdir={self.stage.logs}",
        ]
        sections += [self._program(service) for service in services]
        self._config().write_text("\n\n".join(sections) + "\n")

    def _program(self, service: Service) -> str:
        command = shlex.join(service.command)
        if service.pid_file is not None:
            command = f"pidproxy {service.pid_file} {command}"
        wanted = "false" if service.on_order else "true"
        lines = [
            f"[program:{service.name}]",
            f"command={command}",
            f"autostart={wanted}",
            f"autorestart={wanted}",
            f"startsecs={0 if service.on_order else 1}",
            f"stopwaitsecs={GRACE}",
            "stopasgroup=true",
            "killasgroup=true",
        ]
        if service.log:
            lines += [f"stdout_logfile={self._log(service.name)}", "stdout_logfile_maxbytes=0"]
        return "\n".join(lines)

    def command(self) -> list[str]:
        return ["/usr/bin/supervisord", "-c", str(self._config())]

    def first_answer(self, service: str) -> float:
        # supervisorctl takes a third of a second itself; asking directly is fairer.
        self.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self._server().getProcessInfo(service)
                return (time.monotonic_ns() - self.stage.slots.supervisor_time()) / 1e9
            except (OSError, http.client.HTTPException, xmlrpc.client.Error):
                time.sleep(0.001)
        raise PeerFailed("no answer within 60 s")

    def status_one(self, service: str) -> list[str]:
        return self._supervisorctl("status", service)

    def list_all(self) -> list[str]:
        return self._supervisorctl("status")

    def up(self) -> int:
        services = self._server().getAllProcessInfo()
        return sum(service["statename"] == "RUNNING" for service in services)

    def start_one(self, service: str) -> list[str]:
        return self._supervisorctl("start", service)

    def restart_one(self, service: str) -> list[str]:
        return self._supervisorctl("restart", service)

    def stop_one(self, service: str) -> list[str]:
        return self._supervisorctl("stop", service)

    def log_files(self, service: str) -> list[Path]:
        return [path for path in [self._log(service)] if path.exists()]

    def _config(self) -> Path:
        return self.directory / "supervisord.conf"

    def _socket(self) -> Path:
        return self.directory / "supervisor.sock"

    def _log(self, service: str) -> Path:
        return self.stage.logs / f"{service}.log"

    def _supervisorctl(self, *words: str) -> list[str]:
        return ["/usr/bin/supervisorctl", "-c", str(self._config()), *words]

    def _server(self) -> Any:
        transport = _UnixTransport(str(self._socket()))
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over supervisord's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(self._path)
        return connection
