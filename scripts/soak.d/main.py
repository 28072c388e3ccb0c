"""The soak's command line and its course."""

import argparse
import random
import shutil
import sys
import threading
import time

import verdict
from house import House, Trouble, read
from killer import Killer
from model import Model

# The supervisor is killed so often, in seconds; and in the last part of the time not at all, so
# that what it leaks can pile up.
PAUSE = 3.0
QUIET_PART = 0.25


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("minutes", nargs="?", type=float, default=60)
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--ci", action="store_true", help="two minutes with 60 services")
    parser.add_argument("--launcher", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--daemons", required=True, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ci:
        given.minutes, given.services = 2, 60
    return given


def storm(model: Model, house: House, seconds: float, lock: threading.Lock, killer: Killer) -> None:
    """Random things, one after the other."""
    until, look = time.monotonic() + seconds, 0.0
    while time.monotonic() < until:
        killer.check()
        with lock:
            house.bury()
        model.turn()
        if time.monotonic() > look:
            model.look_for_doubles()
            look = time.monotonic() + 1
        time.sleep(model.chance.random() * 0.1)


def soak(house: House, model: Model, seconds: float, seed: int) -> list[str]:
    house.launch()
    house.answers()
    lock = threading.Lock()
    killer = Killer(house, lock, model.stats, seed, PAUSE)
    killer.start()
    storm(model, house, seconds * (1 - QUIET_PART), lock, killer)
    killer.stop()
    house.answers()
    storm(model, house, seconds * QUIET_PART, lock, killer)
    verdict.settle(house, model)
    verdict.check_processes(house)
    found = [verdict.check_leaks(house, model)]
    verdict.check_processes(house)
    model.look_for_doubles()
    verdict.check_end(house)
    found.append(verdict.check_logs(house, model.stats["log lanes killed"]))
    model.stats["adoptions"] = verdict.check_words(house)
    return found


def report(house: House, model: Model, trouble: Trouble) -> None:
    """What a person needs to find the cause."""
    print(f"\nFAILED: {trouble}", file=sys.stderr)
    unit = model.units.get(trouble.unit) or model.removed.get(trouble.unit)
    if unit is not None:
        print(f"\nwhat {unit.name} went through (wanted {unit.wanted}):", file=sys.stderr)
        print("\n".join(unit.trace), file=sys.stderr)
        words = [line for line in read(house.dir / "launcher.log").splitlines()
                 if unit.name in line or "units loaded" in line]
        print("\nwhat the supervisor said of it:\n" + "\n".join(words[-40:]), file=sys.stderr)
    print(f"\neverything is in {house.dir}", file=sys.stderr)


def main() -> int:
    given = arguments()
    print(f"soak: {given.minutes:g} minutes, {given.services} services, seed {given.seed}",
          flush=True)
    house = House(given.launcher)
    shutil.copytree(given.daemons, house.dir / "daemons")
    model = Model(house, random.Random(given.seed), str(house.dir / "daemons"), given.services)
    failed = True
    try:
        found = soak(house, model, given.minutes * 60, given.seed)
        failed = False
        print("\n".join(found))
    except Trouble as trouble:
        report(house, model, trouble)
    finally:
        house.close(keep=failed)
        for name, count in sorted(model.stats.items()):
            print(f"{name}: {count}")
        print(f"soak: {'FAILED' if failed else 'ALL WELL'}, seed {given.seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
