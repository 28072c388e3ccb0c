"""What must be true when the noise is over."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from house import House, Trouble, read
from model import Model

# How long everything may take to come to rest on a machine that is busy.
SETTLE = 120
# Pages that a heap keeps for later, in KiB.
MORE_MEMORY = 6 * 1024


def settle(house: House, model: Model) -> None:
    """Every unit comes to the state that is wanted of it, with one start or none."""
    model.reread()
    for name in list(model.removed):
        try:
            house.call("Stop", units=[name], wait=True)
        except ValueError:
            pass  # Long gone.
    model.reread()
    until = time.monotonic() + SETTLE
    while True:
        house.bury()
        wrong = {line["name"]: why for line in house.call("List")["services"]
                 if (why := mistake(model, line))}
        if not wrong:
            break
        if time.monotonic() > until:
            name, why = next(iter(wrong.items()))
            raise Trouble(f"{len(wrong)} units did not settle; {name} {why}", name)
        time.sleep(0.2)
    listed = {line["name"] for line in house.call("List")["services"]}
    if listed != set(model.units):
        raise Trouble(f"units are {listed ^ set(model.units)} too many or too few")


def mistake(model: Model, line: dict) -> str | None:
    """What is wrong with a line of the list."""
    unit, state = model.units.get(line["name"]), line["state"]
    if unit is None:
        return f"is {state}, and its file is gone"
    # An order without an answer was carried out or not; then it was kept, whichever it was.
    wanted = line["wanted"] or state == "failed" if unit.wanted is None else unit.wanted
    good = unit.kind.good if wanted else ("down", "failed")
    if state not in good:
        return f"is {state} ({line['why']}), not {' or '.join(good)}"
    starts = model.house.populated(unit.name)
    if state == "up" and unit.kind.name != "crasher" and len(starts) != 1:
        return f"is up with the starts {starts}"
    if state in ("down", "failed", "done") and model.house.pids(unit.name):
        return f"is {state} with the processes {model.house.pids(unit.name)}"
    most = unit.kind.processes
    count = len(model.house.pids(unit.name))
    if state == "up" and most is not None and count > most:
        return f"has {count} processes, not {most}"
    return None


def check_processes(house: House) -> None:
    """Every process of this soak is in its place; so are all FIFOs and cgroups."""
    suspects = strangers(house)
    until = time.monotonic() + 10
    # One that is being born or dying is nowhere for a moment.
    while suspects and time.monotonic() < until:
        time.sleep(0.1)
        suspects &= strangers(house)
    if suspects:
        words = {pid: read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ") for pid in suspects}
        raise Trouble(f"processes that have escaped: {words}")
    fifos = {path.name for path in (house.dir / "run/log").iterdir()}
    units = {line["name"] for line in house.call("List")["services"]}
    if fifos - units - {"treeward"}:
        raise Trouble(f"FIFOs of units that are gone: {sorted(fifos - units)}")
    groups = set(house.units_with_cgroup())
    if groups - units:
        raise Trouble(f"cgroups of units that are gone: {sorted(groups - units)}")


def strangers(house: House) -> set[int]:
    """Processes with a path of this soak on their command line that are in no leaf."""
    ours = {house.supervisor, house.lane(), os.getpid()}
    numbers = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    named = {n for n in numbers if str(house.dir) in read(Path(f"/proc/{n}/cmdline"))}
    return named - ours - set(house.pids())


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind; FIFOs are all one kind, and watches count as well."""
    found: Counter[str] = Counter()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        found["FIFO" if "/run/log/" in target else re.sub(r":\[\d+\]$", "", target)] += 1
        info = read(Path(f"/proc/{pid}/fdinfo") / fd.name)
        found["inotify watches"] += info.count("inotify wd:")
    return found


def resident(pid: int) -> int:
    """Memory in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", read(Path(f"/proc/{pid}/status")))[1])


def calm(house: House, what: Callable[[], object]) -> object:
    """Waits until something stays the same for five seconds, and gives it."""
    until, last, since = time.monotonic() + 60, None, 0.0
    while time.monotonic() < until:
        house.bury()
        now = what()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 5:
            break
        time.sleep(0.5)
    return last


def check_leaks(house: House, model: Model) -> str:
    """The supervisor, which has seen much, holds what a fresh one with the same services holds."""
    restless = [u.name for u in model.units.values() if u.kind.name in ("crasher", "hydra")]
    for name in restless:
        house.call("Stop", units=[name], wait=True)
        model.units[name].wanted = False
    old = calm(house, lambda: descriptors(house.supervisor))
    old_memory, lane = resident(house.supervisor), house.lane()
    house.kill()
    house.launch()
    house.answers()
    settle(house, model)
    fresh = calm(house, lambda: descriptors(house.supervisor))
    # What it knows of its own children (a pidfd each at birth) and of adopted ones differs.
    for kind in (set(old) | set(fresh)) - {"anon_inode:[pidfd]"}:
        if old[kind] > fresh[kind] + 1:
            raise Trouble(f"{kind}: {old[kind]} open, a fresh supervisor has {fresh[kind]}")
    up = sum(bool(house.populated(name)) for name in model.units)
    if old["anon_inode:[pidfd]"] > 3 * up + 8:
        raise Trouble(f"{old['anon_inode:[pidfd]']} pidfds for {up} services")
    fresh_memory = resident(house.supervisor)
    if old_memory > fresh_memory + MORE_MEMORY:
        raise Trouble(f"{old_memory} KiB of memory, a fresh supervisor has {fresh_memory}")
    if lane != house.lane():
        raise Trouble("the log lane did not outlive its supervisor")
    fifos = len(list((house.dir / "run/log").iterdir()))
    held = descriptors(lane)["FIFO"]
    if held > fifos + 1:
        raise Trouble(f"the log lane has {held} FIFOs open; there are {fifos}")
    return (f"descriptors {sum(old.values())} (fresh {sum(fresh.values())}), memory {old_memory} "
            f"KiB (fresh {fresh_memory}), log lane {resident(lane)} KiB and {held} FIFOs")


def check_logs(house: House, lanes_killed: int) -> str:
    """Numbered lines are whole and in order. A log lane that was killed may have lost what it had
    read of one FIFO, and torn one line."""
    lines = runs = gaps = torn = 0
    for newest in (house.dir / "log").glob("counter-*.log"):
        last = 0
        for path in sorted(newest.parent.glob(newest.name + "*"), key=number, reverse=True):
            for line in path.read_bytes().splitlines():
                stamp, _, text = line.partition(b" ")
                lines += 1
                if len(stamp) != 24 or not text.isdigit():
                    if b"treeward: " in line:
                        continue
                    torn += 1
                    last = -1
                    continue
                count = int(text)
                if count == 1:
                    runs += 1
                elif count <= last:
                    raise Trouble(f"line {count} after {last}", newest.stem)
                elif last != -1 and count != last + 1:
                    gaps += 1
                last = count
    if gaps > lanes_killed or torn > lanes_killed:
        raise Trouble(f"log lanes killed {lanes_killed} times, but {gaps} gaps, {torn} torn lines")
    return f"log lines {lines} of {runs} runs, gaps {gaps}, torn {torn}"


def number(path: Path) -> int:
    """0 for web.log, 3 for web.log.3."""
    return int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0


def check_end(house: House) -> None:
    """An orderly end leaves nothing."""
    lane = house.lane()
    os.kill(house.supervisor, signal.SIGTERM)
    until = time.monotonic() + SETTLE
    while True:
        pid, status = os.waitpid(house.supervisor, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > until:
            raise Trouble("the supervisor does not end")
        time.sleep(0.05)
    house.supervisor = None
    if status != 0:
        raise Trouble(f"the supervisor ended with wait status {status}")
    house.bury()
    left = [folder for folder, _, _ in os.walk(house.cgroup)][1:]
    if left or house.pids():
        raise Trouble(f"left behind: {left}, {house.pids()}")
    if str(house.dir) in read(Path(f"/proc/{lane}/cmdline")):
        raise Trouble("the log lane is left behind")


def check_words(house: House) -> int:
    """Nothing in the supervisor's own words speaks of a defect. Gives the number of adoptions."""
    adopted = 0
    for line in read(house.dir / "launcher.log").splitlines():
        if "panicked" in line or "a defect" in line:
            raise Trouble(f"the supervisor says: {line}")
        found = re.search(r"taken over from an earlier supervisor: (\d+)", line)
        adopted += int(found[1]) if found else 0
    return adopted
