"""The services of the soak: what their unit files say, and how each looks when all is well."""

import random
from dataclasses import dataclass

# Restarts come soon, and never come to an end, unless a kind says otherwise.
COMMON = "restart_delay: 200ms\nrestart_max_delay: 2s\nrestart_max_attempts: 0\nstop_grace_period: 2s\n"


@dataclass(frozen=True)
class Kind:
    """One way to be a service."""

    name: str
    weight: int
    # {daemons}, {dir} and {unit} are filled in; {spice} is a number that changes with the file.
    text: str
    # States it may be in for good when it is wanted up, and how many processes it has when "up".
    good: tuple[str, ...] = ("up",)
    processes: int | None = 1
    can_reload: bool = False


KINDS = [
    Kind("counter", 20, "command: {daemons}/counter 50\nrestart: always\n"),
    Kind("sleeper", 15, "command: [sleep, '1000{spice}']\nrestart: always\n"),
    Kind("family", 15, "command: {daemons}/family 0 3\nrestart: always\n", processes=4),
    Kind("lingering", 5, "command: {daemons}/family 300 2\nrestart: on-failure\n", processes=3),
    Kind("forking", 10, "type: forking\ncommand: {daemons}/family 0 1\nrestart: always\n", processes=2),
    Kind("notifier", 10, "type: notify\ncommand: {daemons}/notifier {dir}/go\nrestart: always\n"),
    Kind("changeling", 8, "command: {daemons}/changeling\nreload_signal: SIGHUP\nrestart: always\n",
         can_reload=True),
    Kind("deaf", 5, "command: [sh, -c, 'trap \"\" TERM; while :; do sleep 1; done']\nrestart: always\n"
                    "stop_grace_period: 300ms\n", processes=None),
    Kind("crasher", 12, "command: [sh, -c, 'sleep 0.{spice}; exit 3']\nrestart: always\n",
         good=("up", "waiting", "starting"), processes=None),
    Kind("failing", 4, "type: simple\ncommand: [sh, -c, 'exit 1']\nrestart: on-failure\n"
                       "restart_max_attempts: 3\n", good=("failed",)),
    Kind("oneshot", 8, "type: oneshot\nremain_after_exit: true\ncommand: [sh, -c, 'exit 0']\n",
         good=("done",)),
    Kind("hydra", 1, "command: {daemons}/hydra\nrestart: always\nstop_grace_period: 300ms\n",
         processes=None),
]


def pick(chance: random.Random) -> Kind:
    return chance.choices(KINDS, weights=[kind.weight for kind in KINDS])[0]


def text(kind: Kind, daemons: str, directory: str, spice: int) -> str:
    common = COMMON
    for line in kind.text.splitlines():
        key = line.split(":")[0]
        common = "".join(c for c in common.splitlines(True) if not c.startswith(f"{key}:"))
    filled = kind.text.replace("{daemons}", daemons).replace("{dir}", directory)
    return f"# {spice}\n" + filled.replace("{spice}", str(spice)) + common
