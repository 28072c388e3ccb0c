"""What is measured, one function per measure. Each takes a program on a fresh stage and leaves
the clean-up to the caller. Times are in the units of the tables (report.py)."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import cgroup
import processes
from logs import LINE, LostLines, Reader
from peers import Floor, Peer, PeerFailed, Service, Treeward
from peers.base import GRACE
from results import Results
from stage import Ground


@dataclass
class Size:
    """How much of everything; --quick makes it small."""

    services: int = 1000
    starts: int = 5  # More starts of what is compared with the floor, in each round.
    scale: int = 10_000
    idle_seconds: int = 10
    kills: int = 10  # In each round.
    commands: int = 50  # In each round.
    log_lines: int = 2_000_000  # Of LINE bytes.
    daemons: int = 50
    tree: int = 2000  # Children of the tree that ignores TERM.


Measure = Callable[[Peer, Size, Results], None]


def run(
    measure: Measure,
    program: type[Peer],
    services: int,
    ground: Ground,
    size: Size,
    results: Results,
) -> None:
    """Runs one measure of one program; a failure is noted, and the others go on."""
    peer = program(ground.stage(program.name.lower(), services))
    try:
        measure(peer, size, results)
    except (PeerFailed, OSError, subprocess.SubprocessError) as error:
        results.fail(program.name, f"{measure.__name__}: {error}")
    finally:
        peer.cleanup()


def idle_services(peer: Peer, count: int) -> list[Service]:
    slots = str(peer.stage.slots.path)
    return [
        Service(f"idle-{index:05}", [peer.tool("idle"), slots, str(index)])
        for index in range(count)
    ]


def session(parts: set[str]) -> Measure:
    """Start, look at, disturb and stop many idle services; `parts` says which of it is wanted."""

    def session(peer: Peer, size: Size, results: Results) -> None:
        services = idle_services(peer, size.services)
        peer.write_config(services)
        peer.start()
        results.add("start", peer.name, peer.wait_all_up())
        time.sleep(3)  # Some take two seconds to believe that a service is up.
        if "memory" in parts:
            results.add("memory", peer.name, peer.pss())
        if "idle" in parts:
            idle(peer, size, results)
        if not isinstance(peer, Floor):
            middle = services[len(services) // 2].name
            if "status" in parts:
                times = command_times(peer, peer.status_one(middle), size)
                results.add("status", peer.name, *times)
            if "list" in parts:
                results.add("list", peer.name, *command_times(peer, peer.list_all(), size))
            if "restart" in parts:
                restarts(peer, size, results)
        if "stop" in parts:
            results.add("stop", peer.name, stop(peer))

    return session


def start_again(peer: Peer, size: Size, results: Results) -> None:
    """Only the start. Single runs of the same program differ by a third."""
    peer.write_config(idle_services(peer, size.services))
    peer.start()
    results.add("start", peer.name, peer.wait_all_up())


def idle(peer: Peer, size: Size, results: Results) -> None:
    """What the supervisor does when nothing is to be done."""
    pids = peer.supervisors()
    cpu, wakeups = processes.activity(pids)
    time.sleep(size.idle_seconds)
    cpu_after, wakeups_after = processes.activity(pids)
    results.add("idle cpu", peer.name, cpu_after - cpu)
    results.add("idle wakeups", peer.name, wakeups_after - wakeups)


def command_times(peer: Peer, command: list[str], size: Size) -> list[float]:
    """Wall times of whole runs of the command in ms; slow commands run less often."""
    output = peer.run([peer.tool("timeit"), str(size.commands), "5", *command])
    return [int(nanoseconds) / 1e6 for nanoseconds in output.split()]


def restarts(peer: Peer, size: Size, results: Results) -> None:
    """SIGKILL of a service to the first instruction of its next start, in ms."""
    slots = peer.stage.slots
    for index in range(0, slots.count, slots.count // size.kills):
        before = slots.time(index)
        killed = time.monotonic_ns()
        os.kill(slots.pid(index), signal.SIGKILL)
        started = slots.wait_new(index, before, 10)
        if started is None:
            raise PeerFailed(f"service {index} was not restarted within 10 s of SIGKILL")
        results.add("restart", peer.name, (started - killed) / 1e6)
        time.sleep(0.02)
    time.sleep(2)  # Until the last of them is an old service again.


def stop(peer: Peer) -> float:
    """Seconds from the stop signal until no process is left, the supervisor's own included."""
    before = time.monotonic_ns()
    peer.stop_all()
    empty = cgroup.wait_empty(peer.stage.cgroup, 60)
    if empty is None:
        raise PeerFailed(f"{peer.survivors()} services lived 60 s after the stop signal")
    return (empty - before) / 1e9


def answer(key: str) -> Measure:
    """From the supervisor's exec to its first answer, in ms."""

    def answer(peer: Peer, _: Size, results: Results) -> None:
        services = idle_services(peer, peer.stage.slots.count)
        peer.write_config(services)
        results.add(key, peer.name, peer.first_answer(services[0].name) * 1e3)

    return answer


def log(kind: str) -> Measure:
    """From a service's first line until all its lines are in files, in MB/s, and lost lines."""

    def log(peer: Peer, size: Size, results: Results) -> None:
        slots = peer.stage.slots
        command = [peer.tool("spew"), str(slots.path), "0", str(size.log_lines)]
        service = Service("spew", command, on_order=True, log=kind)
        peer.write_config([service])
        peer.start()
        time.sleep(2)  # The loggers are there, too.
        peer.run(peer.start_one(service.name))
        if slots.wait_all(10) is None:
            raise PeerFailed("the service that logs did not start")
        reader = Reader(lambda: peer.log_files(service.name), size.log_lines)
        try:
            written = reader.wait_complete(60)
            seconds = (written - slots.time(0)) / 1e9
            results.add(f"log {kind}", peer.name, size.log_lines * LINE / 1e6 / seconds)
        except LostLines as error:
            results.fail(peer.name, f"log: {error}")
        missing, misplaced = reader.check()
        results.add("log lost", peer.name, missing)
        if misplaced:
            results.fail(peer.name, f"log: {misplaced} lines are doubled or out of order")
        reader.close()

    return log


def daemons(peer: Peer, size: Size, results: Results) -> None:
    """Daemons that fork twice and keep children: what the program makes of them."""
    slots = peer.stage.slots
    services = []
    for index in range(slots.count):
        pid_file = peer.directory / f"daemon-{index:02}.pid"
        command = [peer.tool("forker"), str(slots.path), str(index), "--pid-file", str(pid_file)]
        services.append(Service(f"daemon-{index:02}", command, pid_file=pid_file))
    peer.write_config(services)
    peer.start()
    peer.wait_all_up()
    time.sleep(8)
    results.add("daemons up", peer.name, peer.up())

    killed = range(10)
    before = {index: slots.time(index) for index in killed}
    for index in killed:
        kill_if_alive(slots.pid(index))
    time.sleep(2)
    for index in killed:
        # Who did not see the death is told of it.
        if slots.time(index) == before[index]:
            peer.run(peer.restart_one(services[index].name))
    time.sleep(GRACE + 1)
    results.add("daemons processes", peer.name, peer.survivors())

    peer.stop_all()
    peer.wait_gone(60)
    cgroup.wait_empty(peer.stage.cgroup, 2)
    results.add("daemons survivors", peer.name, peer.survivors())


def kill_if_alive(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # The program starts it over and over, and this one is gone already.


def tree(peer: Peer, size: Size, results: Results) -> None:
    """A main process with many children in sessions of their own, all ignoring TERM."""
    slots = peer.stage.slots
    command = [peer.tool("forker"), str(slots.path), "0", "--foreground", "--ignore-term"]
    command += ["--children", str(size.tree)]
    service = Service("tree", command)
    peer.write_config([service])
    peer.start()
    peer.wait_all_up()
    time.sleep(3)
    if peer.survivors() != size.tree + 1:
        raise PeerFailed(f"tree: {peer.survivors()} processes instead of {size.tree + 1}")

    own = peer.supervisors()
    before = time.monotonic()
    order = subprocess.Popen(
        peer.stop_one(service.name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while cgroup.processes(peer.stage.cgroup) - own and time.monotonic() < before + GRACE + 3:
        time.sleep(0.002)
    elapsed = time.monotonic() - before
    left = peer.survivors()
    order.kill()
    order.wait()
    results.add("tree survivors", peer.name, left)
    if left == 0:
        results.add("tree time", peer.name, elapsed)


def scale(peer: Peer, _: Size, results: Results) -> None:
    """Time and memory of a start by number of services."""
    count = peer.stage.slots.count
    peer.write_config(idle_services(peer, count))
    peer.start()
    results.add(f"scale start {count}", peer.name, peer.wait_all_up())
    time.sleep(3)
    results.add(f"scale memory {count}", peer.name, peer.pss())


SESSION = {"start", "memory", "idle", "status", "list", "restart", "stop"}
OTHERS = ("answer", "log", "daemons", "tree", "scale")


def one_round(
    programs: list[type[Peer]], wanted: set[str], ground: Ground, size: Size, results: Results
) -> None:
    """Every wanted measure once, and for each measure one program after the other."""
    supervisors = [program for program in programs if program is not Floor]
    compared = [program for program in programs if program in (Floor, Treeward)]
    plan: list[tuple[Measure, list[type[Peer]], int]] = []
    if wanted & SESSION:
        plan.append((session(wanted), programs, size.services))
    if "start" in wanted:
        plan += [(start_again, compared, size.services)] * size.starts
    if "answer" in wanted:
        plan.append((answer("answer one"), supervisors, 1))
        plan.append((answer("answer all"), supervisors, size.services))
    if "log" in wanted:
        for kind in ("stamped", "plain"):
            those = [program for program in supervisors if kind in program.logs]
            plan.append((log(kind), those, 1))
    if "daemons" in wanted:
        plan.append((daemons, supervisors, size.daemons))
    if "tree" in wanted:
        plan.append((tree, supervisors, 1))
    if "scale" in wanted:
        plan += [(scale, compared, size.services)] * 3
        plan += [(scale, compared, size.scale)] * 2
    for measure, those, services in plan:
        for program in those:
            print(f"  {measure.__name__}, {services} service(s): {program.name}", flush=True)
            run(measure, program, services, ground, size, results)
