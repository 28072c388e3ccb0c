"""Imports every service, and counts what became of each directive."""

import json
import subprocess
from collections import Counter
from pathlib import Path

GOAL = 90.0
# Seconds that one import may take.
PATIENCE = 20
KINDS = [".service", ".socket", ".timer", ".path"]


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
    count = 0
    for name, root in roots.items():
        own: Counter = Counter()
        for path in services(root):
            count += 1
            answer, failure = imported(slc, path)
            if failure:
                failures.append(f"{name}: {failure}")
                continue
            for directive in answer["directives"]:
                own[directive["fate"]] += 1
                if directive["fate"] == "dropped":
                    dropped[directive["key"]] += 1
        fates += own
        lines.append((name, own))
    return report(lines, fates, dropped, failures, count)


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


def report(lines, fates, dropped, failures, count) -> int:
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
    print(f"import-survey: {good:.1f} % kept or approximated (at least {GOAL:.0f} % wanted),", end=" ")
    print(f"{len(failures)} of {count} services could not be imported")
    return 0 if good >= GOAL and not failures else 1
