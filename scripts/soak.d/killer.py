"""Kills the supervisor every few seconds and restarts it at once, as init would; and the log lane
now and then."""

import os
import random
import signal
import threading
import time
from collections import Counter

from house import House, Trouble


class Killer(threading.Thread):
    """Goes on until it is stopped. What went wrong in it is raised by `stop`."""

    def __init__(self, house: House, lock: threading.Lock, stats: Counter, seed: int, pause: float):
        super().__init__(daemon=True)
        self.house, self.lock, self.stats, self.pause = house, lock, stats, pause
        self.chance = random.Random(seed)
        self.ended = threading.Event()
        self.trouble: Exception | None = None

    def run(self) -> None:
        try:
            # Every third comes while the one before it still takes over what lives.
            while not self.ended.wait(self.chance.choice([1.5, 1, 0.02]) * self.pause):
                self.kill_supervisor()
                if self.chance.random() < 0.05:
                    self.kill_lane()
        except Exception as error:  # noqa: BLE001 - it is raised again by `stop`
            self.trouble = error

    def kill_supervisor(self) -> None:
        with self.lock:
            self.house.bury()
            self.house.kill()
            self.stats["supervisors killed"] += 1
            if self.chance.random() < 0.3:
                time.sleep(self.chance.random() * 0.2)
            self.house.launch()

    def kill_lane(self) -> None:
        lane = self.house.lane()
        if lane is None:
            return
        try:
            os.kill(lane, signal.SIGKILL)
            self.stats["log lanes killed"] += 1
        except ProcessLookupError:
            pass

    def stop(self) -> None:
        self.ended.set()
        self.join()
        if self.trouble is not None:
            raise self.trouble

    def check(self) -> None:
        if self.trouble is not None:
            raise Trouble(f"{self.trouble}")
