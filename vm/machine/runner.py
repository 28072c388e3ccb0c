"""The scenes: finds them, boots what they need, and reports one line for each."""

import importlib.util
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from .disk import HERE, PLACE
from .line import Failed
from .machine import Machine


def stories():
    """Name to module of vm/scenes: each is a machine (SPEC) and what happens on it (SCENES, in order)."""
    found = {}
    for path in sorted((HERE / "scenes").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"scenes_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[path.stem.replace("_", "-")] = module
    return found


def name_of(story, scene):
    """As a person writes it."""
    return f"{story}/{scene.__name__.strip('_').replace('_', '-')}"


def wanted(names):
    """Story name to its module and the scenes to run. A scene comes after those before it in its story,
    which may be what it needs: naming one runs these, too."""
    chosen = {}
    every = stories()
    for name in names or every:
        story, _, scene = name.partition("/")
        if story not in every:
            raise SystemExit(f"vm/test: no such machine: {story} (there are: {', '.join(every)})")
        scenes = every[story].SCENES
        if scene:
            last = [name_of(story, each) for each in scenes]
            if name not in last:
                raise SystemExit(f"vm/test: no such scene: {name} (there are: {', '.join(last)})")
            scenes = scenes[: last.index(name) + 1]
        chosen[story] = (every[story], scenes)
    return chosen


class Report:
    """One line for each scene as it ends, and why it failed."""

    def __init__(self):
        self.failed, self.passed = [], 0

    def line(self, name, ok, seconds, why=""):
        """Prints it at once, as one piece: two machines may run."""
        self.passed += ok
        if not ok:
            self.failed.append(name)
        text = f"{name:45} {'ok' if ok else 'FAILED':6} {seconds:6.1f} s\n"
        sys.stdout.write(text + "".join(f"    {line}\n" for line in why.splitlines()))
        sys.stdout.flush()


def explained(error, machine, log):
    """What was expected, what was seen, and the last of the console."""
    why = str(error) if isinstance(error, Failed) else "".join(traceback.format_exception(error))
    if machine:
        last = "\n".join(f"| {line}" for line in machine.console.last_lines(15))
        why += f"\nthe last lines of the console ({log}):\n{last}"
    return why


def play(name, story, scenes, report):
    """Boots the machine of a story and lets its scenes happen, one after the other."""
    directory = PLACE / "stories" / name
    shutil.rmtree(directory, ignore_errors=True)
    log = PLACE / "logs" / f"{name}.console"
    log.parent.mkdir(exist_ok=True)
    machine = None
    try:
        began = time.monotonic()
        for scene in scenes:
            try:
                if machine is None:
                    machine = Machine(story.SPEC, directory)
                scene(machine)
                report.line(name_of(name, scene), True, time.monotonic() - began)
            except Exception as error:  # noqa: BLE001 (a scene's mistake is its own, not the runner's)
                why = explained(error, machine, log)
                report.line(name_of(name, scene), False, time.monotonic() - began, why)
                if machine is None or not machine.alive():
                    break
            began = time.monotonic()
        for scene in scenes[[name_of(name, each) for each in scenes].index(name_of(name, scene)) + 1 :]:
            report.line(name_of(name, scene), False, 0, "the machine had ended before")
    finally:
        if machine:
            machine.close()
            shutil.copy(directory / "console", log)
        shutil.rmtree(directory, ignore_errors=True)


def main(names, at_once):
    """Runs what is named, or all; gives the exit status."""
    began = time.monotonic()
    report = Report()
    with ThreadPoolExecutor(at_once) as pool:
        played = [pool.submit(play, name, *what, report) for name, what in wanted(names).items()]
    for each in played:
        each.result()
    print(f"vm/test: {report.passed} passed, {len(report.failed)} failed, {time.monotonic() - began:.0f} s")
    for name in report.failed:
        print(f"vm/test: FAILED: {name}")
    return 1 if report.failed else 0
