"""Imports every service, and counts what became of each directive."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

GOAL = 90.0
# Seconds that one import may take.
PATIENCE = 20
# What stands in for systemd's targets.
EXAMPLES = ["network-pre", "network-up", "time-sync", "nss-lookup", "mount-network"]
# What slc check says where a daemon, or another unit that it needs, is not installed.
NOT_INSTALLED = [
    "does not exist", "there is no program", "there is no file", "there is no directory",
    "there is no user", "there is no group", "there is no unit",
]


def services(root: Path) -> list[Path]:
    """The services of a package; an instance in the place of a template where templates are not
    known yet. Links, and what is masked by a link to /dev/null, are other names of others."""
    found = [path for path in sorted(root.rglob("*.service")) if not path.is_symlink()]
    return [path for path in found if path.parent.name == "system" and path.stat().st_size > 0]


def run(home: Path, roots: dict[str, Path]) -> int:
    slc = home / "target/debug/slc"
    fates: Counter = Counter()
    dropped: Counter = Counter()
    failures = []
    lines = []
    made = {}
    count = 0
    for name, root in roots.items():
        own: Counter = Counter()
        for path in services(root):
            count += 1
            answer, failure = imported(slc, path)
            if failure:
                failures.append(f"{name}: {failure}")
                continue
            for unit in answer["units"]:
                if made.setdefault(unit["file"], unit["text"]) != unit["text"]:
                    failures.append(f"{name}: another package has a {unit['file']}, too")
            for directive in answer["directives"]:
                own[directive["fate"]] += 1
                if directive["fate"] == "dropped":
                    dropped[directive["key"]] += 1
        fates += own
        lines.append((name, own))
    failures += checked(home, slc, made)
    return report(lines, fates, dropped, failures, count, wanted(home, len(roots)))


def wanted(home: Path, count: int) -> float:
    """The share that this many packages must have."""
    lines = (home / "tests/import/shares").read_text().splitlines()
    shares = dict(line.split() for line in lines if line and not line.startswith("#"))
    return max(GOAL, float(shares.get(str(count), 0)))


def checked(home: Path, slc: Path, made: dict[str, str]) -> list[str]:
    """What slc check finds in all units together but that a daemon is not installed."""
    place = home / "target/import-survey/made"
    shutil.rmtree(place, ignore_errors=True)
    for file, text in made.items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text)
        if file.endswith("@.yml"):
            # A template is looked at through an instance of it.
            (place / file.replace("@.", "@one.")).symlink_to(file)
    for name in EXAMPLES:
        shutil.copy(home / f"examples/{name}.yml", place)
    command = [slc, "check", "--json", place]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    answer = json.loads(answer.stdout)
    units = len([file for file in made if "/" not in file]) + len(EXAMPLES)
    if answer["files"] != units:
        return [f"slc check saw {answer['files']} of {units} units"]
    errors = [it for it in answer["diagnostics"] if it["severity"] == "error"]
    return [
        f"slc check: {it['text']}"
        for it in errors
        if not any(lack in it["message"] for lack in NOT_INSTALLED)
    ]


def imported(slc: Path, path: Path) -> tuple[dict, str]:
    command = [slc, "import", "--json", path]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if answer.returncode != 0 and path.stem.endswith("@") and "templates" in answer.stderr:
        instance = path.with_name(f"{path.stem}one.service")
        command = [slc, "import", "--json", instance]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if answer.returncode != 0:
        return {}, answer.stderr.strip()
    return json.loads(answer.stdout), ""


def share(part: int, total: int) -> str:
    return f"{100 * part / total:5.1f} %" if total else "      -"


def report(lines, fates, dropped, failures, count, goal) -> int:
    print(f"{'package':32} {'directives':>10} {'kept':>8} {'approx.':>8} {'dropped':>8}")
    for name, own in lines:
        total = own.total()
        shares = (share(own[fate], total) for fate in ("kept", "approximated", "dropped"))
        print(f"{name:32} {total:10}", *(f"{text:>8}" for text in shares))
    total = fates.total()
    print()
    print("Dropped, by count:")
    for key, number in dropped.most_common():
        print(f"{number:6}  {key}")
    print()
    print(
        f"{len(lines)} packages, {count} services, {total} directives: every assignment in [Unit],\n"
        "[Service], [Install], [Socket], [Timer] and [Path] counts once, Description= and\n"
        "Documentation= (which becomes a comment: approximated) like all others."
    )
    for fate in ("kept", "approximated", "dropped"):
        print(f"  {fate:13} {fates[fate]:6} {share(fates[fate], total)}")
    for failure in failures:
        print(f"FAILED: {failure}")
    good = 100 * (fates["kept"] + fates["approximated"]) / total if total else 0.0
    print(f"import-survey: {good:.1f} % kept or approximated (at least {goal:.1f} % wanted);", end=" ")
    print(f"{count} services, {len(failures)} failures")
    return 0 if good >= goal and not failures else 1
