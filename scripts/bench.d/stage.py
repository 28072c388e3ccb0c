"""Where the benchmark works: one directory and one cgroup, and a part of each for every program
that is measured. All of it is gone afterwards."""

import mmap
import os
import shutil
import tempfile
import time
from pathlib import Path

import cgroup


KIB_PER_SERVICE = 300  # More than a service and its share of any supervisor take.


def warm(services: int) -> None:
    """Touches as much memory as so many services take, and gives it back.

    In a virtual machine free memory may be the host's: who touches a page first waits for the host,
    half a millisecond at times. That must not be part of what is measured.
    """
    available = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    size = min(services * KIB_PER_SERVICE * 1024, available // 2) // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:: mmap.PAGESIZE] = bytes(size // mmap.PAGESIZE)


class Slots:
    """The file in which services note their start (c/slots.h): a time and a process id for each.

    The slot after the services' belongs to the supervisor; its time is that of its exec.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        path.write_bytes(bytes(16 * (count + 1)))
        with open(path, "r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def time(self, index: int) -> int:
        """When it last started, in nanoseconds of CLOCK_MONOTONIC; 0 is never."""
        return self._words[2 * index]

    def pid(self, index: int) -> int:
        return self._words[2 * index + 1]

    def supervisor_time(self) -> int:
        return self.time(self.count)

    def wait_new(self, index: int, old: int, seconds: float) -> int | None:
        """Waits for another time than `old`; None if none comes."""
        deadline = time.monotonic() + seconds
        while self.time(index) == old:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.001)
        return self.time(index)

    def wait_all(self, seconds: float) -> int | None:
        """Waits until every service has started; gives the last one's time."""
        deadline = time.monotonic() + seconds
        for index in range(self.count):
            while self.time(index) == 0:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.01)
        return max(self.time(index) for index in range(self.count))


class Stage:
    """What one run of one program has for itself."""

    def __init__(self, ground: "Ground", name: str, services: int) -> None:
        self.programs = ground.programs
        self.treeward = ground.treeward
        self.directory = ground.directory / name
        self.logs = ground.logs / name
        self.cgroup = ground.cgroup / name
        self.directory.mkdir()
        self.logs.mkdir()
        self.cgroup.mkdir()
        self.slots = Slots(ground.shared / name, services)

    def remove(self) -> None:
        cgroup.kill_and_remove(self.cgroup)
        shutil.rmtree(self.directory)
        shutil.rmtree(self.logs)
        self.slots.path.unlink()


class Ground:
    """The directories and the cgroup below which all stages are."""

    def __init__(self, programs: Path, treeward: Path) -> None:
        self.programs = programs
        self.treeward = treeward
        self._runs = 0
        # Slots live in memory, so that noting a start never waits for a disk. So do configuration
        # and state, as s6 recommends and all packages do (/run), and the logs are on a disk.
        self._memory = Path(tempfile.mkdtemp(prefix="treeward-bench-", dir="/dev/shm"))
        self._disk = Path(tempfile.mkdtemp(prefix="treeward-bench-"))
        may_execute = not os.statvfs(self._memory).f_flag & os.ST_NOEXEC
        self.directory = (self._memory if may_execute else self._disk) / "state"
        self.shared = self._memory / "slots"
        self.logs = self._disk / "logs"
        for directory in (self.directory, self.shared, self.logs):
            directory.mkdir()
        self.cgroup = cgroup.mount_point() / f"treeward-bench-{os.getpid()}"
        self.cgroup.mkdir()

    def stage(self, name: str, services: int) -> Stage:
        """A fresh stage: a cgroup that was once killed may kill what is born in it later."""
        warm(services)
        self._runs += 1
        return Stage(self, f"{name}-{self._runs}", services)

    def remove(self) -> None:
        cgroup.kill_and_remove(self.cgroup)
        shutil.rmtree(self._memory)
        shutil.rmtree(self._disk)
