"""The floor: a loop that makes a leaf and spawns (c/floor.c). It supervises nothing."""

from .base import Peer, Service


class Floor(Peer):
    name = "floor"

    def write_config(self, services: list[Service]) -> None:
        self._count = len(services)
        self._program = services[0].command[0]

    def command(self) -> list[str]:
        stage = self.stage
        return [
            self.tool("floor"),
            str(stage.cgroup),
            str(stage.slots.path),
            str(self._count),
            self._program,
        ]
