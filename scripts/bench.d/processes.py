"""What /proc tells of the processes of a supervisor."""

from collections.abc import Callable, Iterable
from pathlib import Path

# The programs that stand for services; everything else in a cgroup belongs to the supervisor.
SERVICES = {"bench-idle", "bench-forker", "bench-spew"}


def is_service(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() in SERVICES
    except OSError:
        return False


def memory_mb(pids: Iterable[int]) -> float:
    """Proportional set size (PSS) of the processes together, in MB of 10^6 bytes."""
    return sum(_of(pid, _pss_kib) for pid in pids) * 1024 / 1e6


def activity(pids: Iterable[int]) -> tuple[float, int]:
    """CPU time in ms and the number of times a thread went to sleep, both since the start."""
    pids = list(pids)
    cpu = sum(_of(pid, _cpu_ns) for pid in pids)
    return cpu / 1e6, sum(_of(pid, _voluntary_switches) for pid in pids)


def _of(pid: int, read: Callable[[Path], int]) -> int:
    try:
        return read(Path(f"/proc/{pid}"))
    except OSError:
        return 0  # It ended meanwhile.


def _pss_kib(process: Path) -> int:
    return _field(process / "smaps_rollup", "Pss:")


def _cpu_ns(process: Path) -> int:
    return sum(int((t / "schedstat").read_text().split()[0]) for t in (process / "task").iterdir())


def _voluntary_switches(process: Path) -> int:
    threads = (process / "task").iterdir()
    return sum(_field(t / "status", "voluntary_ctxt_switches:") for t in threads)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
