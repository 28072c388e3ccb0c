"""The tables, in Markdown: what was reached beside what was wanted."""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measures import Size
from peers import Peer, Treeward
from peers.base import GRACE
from results import Results

OURS = Treeward.name

DAEMONS = (
    "{} daemons that fork twice and keep 10 children each, the children in sessions of their own,"
    " and a tree that ignores TERM. Each program got them as its documentation says: runit as they"
    " are, s6 under s6-fghack, supervisor under pidproxy with a PID file; Treeward as they are."
)


@dataclass
class Row:
    """One line of a table. `reached`: whether our value meets the goal; None is "cannot say"."""

    key: str
    title: str
    digits: int
    goal: str = ""
    reached: Callable[[float, Results], bool | None] | None = None


def at_most(limit: float) -> Callable[[float, Results], bool]:
    return lambda ours, _: ours <= limit


def exactly(wanted: float) -> Callable[[float, Results], bool]:
    return lambda ours, _: ours == wanted


def start_reached(ours: float, results: Results) -> bool | None:
    floor = results.median("start", "floor")
    others = [results.median("start", peer) for peer in ("runit", "s6", "supervisor")]
    if floor is None or None in others:
        return None
    return ours <= 1.3 * floor and all(ours < other for other in others if other is not None)


def log_reached(ours: float, results: Results) -> bool | None:
    s6 = results.median("log stamped", "s6")
    return None if s6 is None else ours >= s6


def rows(size: Size) -> list[Row]:
    n = f"{size.services:,}"
    return [
        Row("start", f"all {n} started, s", 2, "≤ 1.3 × floor, < peers", start_reached),
        Row("memory", "supervisor side, PSS MB", 1, "≤ 5", at_most(5)),
        Row("idle cpu", f"idle {size.idle_seconds} s, CPU ms", 1, "0", exactly(0)),
        Row("idle wakeups", f"idle {size.idle_seconds} s, wake-ups", 0, "0", exactly(0)),
        Row("restart", "SIGKILL to restarted, ms", 1, "≤ 2", at_most(2)),
        Row("stop", f"stop of all {n}, s", 2, "≤ 0.3", at_most(0.3)),
        Row("status", "status of one, whole command, ms", 1, "≤ 2", at_most(2)),
        Row("list", f"list of {n}, whole command, ms", 1, "≤ 10", at_most(10)),
        Row("answer one", "exec to first answer, 1 service, ms", 1, "≤ 10", at_most(10)),
        Row("answer all", f"exec to first answer, {n} services, ms", 1),
        Row("log stamped", "log, 100-byte lines, each stamped, MB/s", 0, "≥ s6", log_reached),
        Row("log plain", "the same without stamps, MB/s", 0),
        Row("log lost", f"log lines lost of {size.log_lines:,}", 0, "0", exactly(0)),
    ]


def tree_rows(size: Size) -> list[Row]:
    count = size.daemons
    processes = count * 11
    limit = GRACE + 0.3
    return [
        Row("daemons up", f"says up (of {count})", 0, f"{count}", exactly(count)),
        Row(
            "daemons processes",
            f"processes after 10 were killed and restarted ({processes} wanted)",
            0,
            f"{processes}",
            exactly(processes),
        ),
        Row("daemons survivors", "processes that survive stop", 0, "0", exactly(0)),
        Row(
            "tree survivors",
            f"a tree of {size.tree + 1:,} that ignores TERM: processes that survive stop",
            0,
            "0",
            exactly(0),
        ),
        Row(
            "tree time",
            f"the same: seconds from stop ({GRACE} s grace) to empty",
            2,
            f"≤ {limit:g}",
            at_most(limit),
        ),
    ]


def markdown(
    programs: list[type[Peer]], size: Size, results: Results, rounds: int, load: float
) -> str:
    """All tables, the machine they come from and what failed. `load` is its load average before."""
    peers = [program.name for program in programs if program.name != "floor"]
    trees = table(tree_rows(size), peers, results)
    if trees:
        trees = f"{DAEMONS.format(size.daemons)}\n\n{trees}"
    parts = [
        machine(programs, rounds, load),
        "Medians; least to greatest in brackets. *floor*: a C loop that makes a leaf and spawns."
        f" In each round the floor and Treeward, which are close, were started {size.starts + 1} times,"
        " the others once.",
        table(rows(size), [program.name for program in programs], results),
        trees,
        scale_table(programs, size, results),
    ]
    if results.failures:
        parts.append("Failed:\n" + "\n".join(f"- {failure}" for failure in results.failures))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(lines: list[Row], programs: list[str], results: Results) -> str:
    """One table of the rows that were measured; empty when none was."""
    head = ["", *programs, "goal", ""]
    body = []
    for row in lines:
        cells = [cell(row.key, name, row.digits, results) for name in programs]
        if any(cells):
            body.append([row.title, *cells, row.goal, verdict(row, results)])
    return grid(head, body) if body else ""


def cell(key: str, program: str, digits: int, results: Results) -> str:
    spread = results.spread(key, program)
    if spread is None:
        return ""
    middle, least, greatest = (f"{value:,.{digits}f}" for value in spread)
    return middle if least == greatest else f"{middle} ({least}–{greatest})"


def verdict(row: Row, results: Results) -> str:
    ours = results.median(row.key, OURS)
    if row.reached is None or ours is None:
        return ""
    reached = row.reached(ours, results)
    return "" if reached is None else "ok" if reached else "short"


def scale_table(programs: list[type[Peer]], size: Size, results: Results) -> str:
    """What ten times as many units cost."""
    body = []
    for program in programs:
        for what, unit in (("start", "s"), ("memory", "PSS MB")):
            few, many = (f"scale {what} {count}" for count in (size.services, size.scale))
            less, more = results.median(few, program.name), results.median(many, program.name)
            if not less or not more:
                continue
            limit = 1.2 * size.scale / size.services
            ours = program.name == OURS
            body.append(
                [
                    f"{program.name}, {what}, {unit}",
                    cell(few, program.name, 2, results),
                    cell(many, program.name, 2, results),
                    f"{more / less:.1f}",
                    f"≤ {limit:g}" if ours else "",
                    ("ok" if more / less <= limit else "short") if ours else "",
                ]
            )
    head = ["", f"{size.services:,} units", f"{size.scale:,} units", "ratio", "goal", ""]
    return grid(head, body) if body else ""


def grid(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(programs: list[type[Peer]], rounds: int, load: float) -> str:
    """Date, kernel, CPU and versions, in one paragraph."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = [program.package for program in programs if program.package]
    versions = [f"{package} {_package_version(package)}" for package in packages]
    return (
        f"{time.strftime('%Y-%m-%d')}, Linux {platform.release()}, {os.cpu_count()} × {_cpu()},"
        f" {memory:.0f} GB, load {load:.1f} before. {rounds} alternating round(s)."
        f" {', '.join(versions)}"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package_version(package: str) -> str:
    query = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout or "(unknown)"
