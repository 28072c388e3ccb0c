"""The benchmark's entry, started by scripts/bench, which builds what is measured."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import peers
import report
from measures import OTHERS, SESSION, Size, one_round
from results import Results
from stage import Ground

QUICK = Size(
    services=100, scale=1000, idle_seconds=3, kills=5, commands=10, log_lines=200_000, tree=500
)

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def arguments() -> argparse.Namespace:
    measures = [*sorted(SESSION), *OTHERS]
    programs = [program.name for program in peers.ALL]
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures Treeward beside runit, s6 and supervisor, and beside the floor.",
    )
    parser.add_argument("--rounds", type=int, help="rounds, alternating (default 5, quick 2)")
    parser.add_argument("--quick", action="store_true", help="100 services, for development")
    parser.add_argument(
        "--only",
        type=_some_of(measures),
        default=set(measures),
        metavar="A,B",
        help=f"only these measures: {','.join(measures)}",
    )
    parser.add_argument(
        "--programs",
        type=_some_of(programs),
        default=set(programs),
        metavar="A,B",
        help=f"only these programs: {','.join(programs)}",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables there, too")
    # These two come from scripts/bench.
    parser.add_argument("--c-programs", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--treeward", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def _some_of(known: list[str]) -> Callable[[str], set[str]]:
    """A parser of comma-separated words out of `known`."""

    def parse(text: str) -> set[str]:
        words = set(text.split(","))
        if not words <= set(known):
            unknown = ", ".join(sorted(words - set(known)))
            raise argparse.ArgumentTypeError(f"{unknown}: not among {', '.join(known)}")
        return words

    return parse


def main() -> None:
    options = arguments()
    size = QUICK if options.quick else Size()
    rounds = options.rounds or (2 if options.quick else 5)
    programs = [program for program in peers.ALL if program.name in options.programs]
    results = Results()
    load = os.getloadavg()[0]
    # Every polite end runs the clean-up, also where a shell started us with SIGINT ignored.
    for end in ENDS:
        signal.signal(end, lambda received, _: sys.exit(128 + received))
    ground = Ground(options.c_programs.resolve(), options.treeward.resolve())
    try:
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", flush=True)
            # Each round begins with another program, so that none is always the first.
            turn = (number - 1) % len(programs)
            one_round(programs[turn:] + programs[:turn], options.only, ground, size, results)
    finally:
        for end in ENDS:
            signal.signal(end, signal.SIG_IGN)  # The clean-up is finished in any case.
        ground.remove()
    tables = report.markdown(programs, size, results, rounds, load)
    print(f"\n{tables}", end="")
    if options.write:
        options.write.write_text(tables)


if __name__ == "__main__":
    main()
