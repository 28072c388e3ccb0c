"""The benchmark's own cgroups: every program under test runs in one, so that its processes can be
counted exactly and ended together, whatever they did to hide."""

import os
import time
from pathlib import Path


def mount_point() -> Path:
    """Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise SystemExit("bench: no cgroup2 file system is mounted; mount one and try again")


def processes(cgroup: Path) -> set[int]:
    """The ids of all processes in the cgroup and below it."""
    found: set[int] = set()
    for directory, _, _ in os.walk(cgroup):
        try:
            with open(os.path.join(directory, "cgroup.procs")) as procs:
                found.update(map(int, procs.read().split()))
        except OSError:
            pass  # The supervisor removed this leaf while we walked.
    return found


def populated(cgroup: Path) -> bool:
    """Whether any process lives in the cgroup or below it."""
    return "populated 1" in (cgroup / "cgroup.events").read_text()


def wait_empty(cgroup: Path, seconds: float) -> int | None:
    """Waits until no process is left; gives the monotonic time in nanoseconds, None if too late."""
    deadline = time.monotonic() + seconds
    while populated(cgroup):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.001)
    return time.monotonic_ns()


def kill_and_remove(cgroup: Path) -> None:
    """Kills every process in the cgroup and removes it with all below it."""
    if not cgroup.exists():
        return
    (cgroup / "cgroup.kill").write_text("1")
    if wait_empty(cgroup, 30) is None:
        raise OSError(f"{cgroup}: not empty 30 s after cgroup.kill; see its cgroup.procs")
    for directory, _, _ in os.walk(cgroup, topdown=False):
        os.rmdir(directory)
