"""What is wanted of each unit, and the random orders that change it."""

import os
import random
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import units
from house import House, Trouble

TRACE = 30


@dataclass
class Unit:
    """One unit, as the driver knows it."""

    name: str
    kind: units.Kind
    # None: an order was not answered, and may have been carried out or not.
    wanted: bool | None = True
    trace: deque = field(default_factory=lambda: deque(maxlen=TRACE))


class Model:
    """All units, and everything that can happen to them."""

    def __init__(self, house: House, chance: random.Random, daemons: str, count: int):
        self.house, self.chance, self.daemons = house, chance, os.path.abspath(daemons)
        self.units: dict[str, Unit] = {}
        self.removed: dict[str, Unit] = {}
        self.stats: Counter[str] = Counter()
        self.began = time.monotonic()
        self.last_number = 0
        # Directory changes that no ReadUnits has told the supervisor of.
        self.stale = False
        for _ in range(count):
            self.write_new()

    def note(self, unit: Unit, what: str) -> None:
        unit.trace.append(f"{time.monotonic() - self.began:9.3f}  {what}")

    def write(self, unit: Unit) -> None:
        spice = self.chance.randrange(1, 10)
        text = units.text(unit.kind, self.daemons, str(self.house.dir), spice)
        fresh = self.house.dir / "units" / f".{unit.name}"
        fresh.write_text(text)
        fresh.rename(self.house.dir / "units" / f"{unit.name}.yml")

    def write_new(self) -> Unit:
        self.last_number += 1
        kind = units.pick(self.chance)
        unit = Unit(f"{kind.name}-{self.last_number}", kind)
        self.units[unit.name] = unit
        self.write(unit)
        return unit

    def turn(self) -> None:
        """One random thing."""
        deeds = [(self.order, 60), (self.crash, 25), (self.change, 8), (self.add, 2),
                 (self.remove, 2), (self.reread, 3)]
        deed = self.chance.choices([d for d, _ in deeds], weights=[w for _, w in deeds])[0]
        deed()

    def order(self) -> None:
        unit = self.chance.choice(list(self.units.values()))
        verbs = ["Start", "Stop", "Restart"] + ["Reload"] * unit.kind.can_reload
        verb = self.chance.choice(verbs)
        wait = self.chance.random() < 0.2
        self.stats[f"order {verb.lower()}"] += 1
        if verb != "Reload":
            before, unit.wanted = unit.wanted, None
        try:
            answer = self.house.call(verb, units=[unit.name], wait=wait)["outcomes"][0]
            self.note(unit, f"{verb} wait={wait}: {answer['state']}, {answer['message']}")
            if verb != "Reload":
                unit.wanted = verb != "Stop"
        except TimeoutError:
            raise Trouble(f"{verb} wait={wait}: no answer", unit.name) from None
        except OSError as error:
            self.stats["orders without an answer"] += 1
            self.note(unit, f"{verb} wait={wait}: {error}")
        except ValueError as error:
            self.note(unit, f"{verb} wait={wait} refused: {error}")
            if verb != "Reload":
                unit.wanted = before
            if "NoSuchUnit" in str(error) and not self.stale:
                raise Trouble(f"{verb}: {error}", unit.name) from None

    def crash(self) -> None:
        """Kills a process of a service."""
        unit = self.chance.choice(list(self.units.values()))
        pids = self.house.pids(unit.name)
        if not pids:
            return
        pid = self.chance.choice(pids)
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        with os.fdopen(fd):
            # The number may have been reused before the descriptor was opened.
            if pid in self.house.pids(unit.name):
                self.stats["processes killed"] += 1
                self.note(unit, f"SIGKILL to {pid}")
                try:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def change(self) -> None:
        unit = self.chance.choice(list(self.units.values()))
        self.write(unit)
        self.note(unit, "its file was changed")
        self.stats["unit files changed"] += 1
        self.stale = True

    def add(self) -> None:
        unit = self.write_new()
        # Started when its file is read for the first time.
        self.note(unit, "its file was added")
        self.stats["units added"] += 1
        self.stale = True

    def remove(self) -> None:
        unit = self.chance.choice(list(self.units.values()))
        (self.house.dir / "units" / f"{unit.name}.yml").unlink()
        self.removed[unit.name] = self.units.pop(unit.name)
        self.note(unit, "its file was removed")
        self.stats["units removed"] += 1
        self.stale = True

    def reread(self) -> None:
        try:
            answer = self.house.call("ReadUnits")
        except OSError:
            self.stats["orders without an answer"] += 1
            return
        if answer["problems"]:
            raise Trouble(f"unit files: {answer['problems']}")
        self.stale = False
        self.stats["unit files read again"] += 1

    def look_for_doubles(self) -> None:
        """No unit has two starts that live, at no time."""
        for name in self.house.units_with_cgroup():
            starts = self.house.populated(name)
            if len(starts) > 1:
                raise Trouble(f"starts {starts} live at the same time", name)
        self.stats["looks for doubles"] += 1
