"""The programs that are measured, each behind the same few verbs (`base.Peer`)."""

from .base import Peer, PeerFailed, Service
from .floor import Floor
from .runit import Runit
from .s6 import S6
from .supervisor import Supervisor
from .treeward import Treeward

ALL: list[type[Peer]] = [Floor, Treeward, Runit, S6, Supervisor]

__all__ = ["ALL", "Floor", "Peer", "PeerFailed", "Service", "Treeward"]
