"""How much of Debian's systemd services slc import carries over (see scripts/import-survey)."""

import sys
from pathlib import Path

import packages
import starting
import survey

HOME = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--start"]:
        return starting.run(HOME, arguments[1:])
    if len(arguments) > 1 or not all(argument.isdigit() for argument in arguments):
        print("usage: scripts/import-survey [COUNT] | --start [DAEMON...]", file=sys.stderr)
        return 2
    names = packages.listed(HOME)
    if arguments:
        names = names[: int(arguments[0])]
    roots = packages.unpacked(HOME, names)
    return survey.run(HOME, roots)


sys.exit(main())
