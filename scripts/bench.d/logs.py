"""Reads back what a service logged (c/spew.c) and finds what is missing or out of order."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

LINE = 100  # Bytes of one line, the newline included; c/spew.c writes it.
MARK = b"line "
DIGITS = 10


class LostLines(Exception):
    """Lines are missing although nothing was written any more."""


class Reader:
    """The lines of one service. `files` gives its log files, oldest first.

    Every file is opened as soon as it is there and stays open, so nothing is missed that the
    program rotates away later.
    """

    def __init__(self, files: Callable[[], list[Path]], lines: int) -> None:
        self._files = files
        self._lines = lines
        self._open: dict[int, BinaryIO] = {}  # By inode, oldest first.

    def wait_complete(self, seconds: float) -> int:
        """Waits until the files are as long as all lines with their stamps; gives that time."""
        deadline = time.monotonic() + seconds
        length, last, grown = 0, -1, time.monotonic()
        while True:
            self._open_new()
            length = length or self._line_length()
            size = sum(os.fstat(file.fileno()).st_size for file in self._open.values())
            at = time.monotonic_ns()
            if length and size >= self._lines * length:
                return at
            if size != last:
                last, grown = size, time.monotonic()
            if time.monotonic() > min(deadline, grown + 5):
                raise LostLines(f"{size} bytes in files instead of {self._lines * length}")
            time.sleep(0.002)

    def check(self) -> tuple[int, int]:
        """How many lines are missing, and how many are doubled or stand before an earlier one."""
        seen = bytearray(self._lines)
        misplaced, greatest = 0, -1
        for number in self._numbers():
            misplaced += number <= greatest
            greatest = max(greatest, number)
            seen[number] = 1
        return seen.count(0), misplaced

    def close(self) -> None:
        for file in self._open.values():
            file.close()

    def _open_new(self) -> None:
        for path in self._files():
            try:
                if path.stat().st_ino not in self._open:
                    file = open(path, "rb")
                    self._open[os.fstat(file.fileno()).st_ino] = file
            except FileNotFoundError:
                pass  # Renamed between the listing and the look; the next look finds it.

    def _numbers(self) -> Iterator[int]:
        for file in self._open.values():
            file.seek(0)
            for line in file:
                at = line.find(MARK)
                if len(line) - at == LINE:
                    yield int(line[at + len(MARK) : at + len(MARK) + DIGITS])

    def _line_length(self) -> int:
        """Bytes of a stamped line, 0 while there is none."""
        for file in self._open.values():
            file.seek(0)
            line = file.readline()
            if line.endswith(b"\n"):
                return len(line)
        return 0
