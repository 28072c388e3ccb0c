"""Really starts daemons of Debian from the units that slc import makes of their services."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

# At least so many must come up and go without a trace.
GOAL = 35
# Package, and the service in it.
DAEMONS = [
    ("anacron", "anacron"), ("apache2", "apache2"), ("at", "atd"), ("atftpd", "atftpd"),
    ("beanstalkd", "beanstalkd"), ("bind9", "named"), ("chrony", "chrony"), ("cron", "cron"),
    ("dnsmasq", "dnsmasq"), ("dovecot-core", "dovecot"), ("fail2ban", "fail2ban"),
    ("haproxy", "haproxy"), ("haveged", "haveged"), ("inspircd", "inspircd"),
    ("irqbalance", "irqbalance"), ("knot", "knot"), ("lighttpd", "lighttpd"),
    ("memcached", "memcached"), ("mosquitto", "mosquitto"), ("munin-node", "munin-node"),
    ("ngircd", "ngircd"), ("nginx-light", "nginx"), ("nsd", "nsd"), ("nullmailer", "nullmailer"),
    ("oidentd", "oidentd"), ("opendkim", "opendkim"), ("openssh-server", "ssh"),
    ("pdns-recursor", "pdns-recursor"), ("postgrey", "postgrey"), ("privoxy", "privoxy"),
    ("prometheus-node-exporter", "prometheus-node-exporter"), ("redis-server", "redis-server"),
    ("redis-sentinel", "redis-sentinel"), ("rinetd", "rinetd"), ("rpcbind", "rpcbind"),
    ("rsyslog", "rsyslog"), ("ser2net", "ser2net"), ("snmpd", "snmpd"), ("tinyproxy", "tinyproxy"),
    ("unbound", "unbound"), ("uptimed", "uptimed"), ("vnstat", "vnstat"), ("vsftpd", "vsftpd"),
]
BASE = "iproute2,mount,util-linux,dbus,procps,netbase"
# Seconds: for the root file system, for one start or stop, and for the supervisor's end.
PATIENCE = {"root": 900, "daemon": 40, "end": 30}

# What runs in a mount namespace of its own: a root that forgets all that is written to it.
STAGE = """
set -eu
root=$1 work=$2 home=$3; shift 3
mount -t tmpfs -o mode=0755 stage "$work/stage"
mkdir "$work/stage/upper" "$work/stage/lower" "$work/stage/root"
new=$work/stage/root
mount -t overlay -o "lowerdir=$root,upperdir=$work/stage/upper,workdir=$work/stage/lower" root "$new"
mkdir -p "$new/treeward" "$new/treeward-home"
mount --bind "$work/treeward" "$new/treeward"
mount --bind "$home" "$new/treeward-home"
mount --rbind /proc "$new/proc"; mount --rbind /sys "$new/sys"; mount --rbind /dev "$new/dev"
# Nobody makes a user namespace in a chroot (user_namespaces(7)).
cd "$new"
mkdir old
pivot_root . old
umount --lazy /old
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /treeward-home/scripts/sealed /treeward-home/target/debug/service-launcher "$@"
"""


def run(home: Path, names: list[str]) -> int:
    if os.geteuid() != 0:
        print("import-survey: --start needs root, because it makes cgroups", file=sys.stderr)
        return 1
    root = made_root(home)
    wanted = [(package, service) for package, service in DAEMONS if not names or service in names]
    with tempfile.TemporaryDirectory(prefix="treeward-import-") as place:
        results = Stage(home, root, Path(place)).prove(wanted)
    good = sum(1 for _, failure in results if not failure)
    for service, failure in results:
        print(f"{service:28} {failure or 'came up, and went without a trace'}")
    goal = min(GOAL, len(wanted))
    print(f"import-survey: {good} of {len(wanted)} daemons were started (at least {goal} wanted)")
    return 0 if good >= goal else 1


def made_root(home: Path) -> Path:
    """A Debian with the daemons in it, kept until the list changes."""
    packages = ",".join([BASE] + [package for package, _ in DAEMONS])
    root = home / f"target/import-survey/root-{zlib.crc32(packages.encode()):08x}"
    if root.exists():
        return root
    print("import-survey: making a root file system with the daemons", flush=True)
    fresh = root.with_name(f"{root.name}.{os.getpid()}")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    command = ["unshare", "--mount", "--propagation", "private", "mmdebstrap", "--quiet"]
    command += ["--mode=root", "--variant=essential", f"--include={packages}"]
    command += ["--aptopt=Acquire::Languages \"none\"", "--dpkgopt=path-exclude=/usr/share/doc/*"]
    command += ["--dpkgopt=path-exclude=/usr/share/man/*", "bookworm", str(fresh)]
    try:
        subprocess.run(command, check=True, timeout=PATIENCE["root"])
        fresh.rename(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return root


class Stage:
    """A supervisor in the root, with a cgroup subtree of its own."""

    def __init__(self, home: Path, root: Path, place: Path):
        self.home, self.root, self.place = home, root, place
        self.slc_program = str(home / "target/debug/slc")
        command = ["findmnt", "-rn", "-t", "cgroup2", "-o", "TARGET"]
        mounts = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        if not mounts:
            raise SystemExit("import-survey: there is no cgroup2 here")
        self.cgroup = Path(mounts[0]) / f"treeward-import-{os.getpid()}"
        self.units = place / "treeward/units"
        for name in ("stage", "treeward/units", "treeward/run", "treeward/log", "made"):
            (place / name).mkdir(parents=True)
        place.chmod(0o755)

    def prove(self, wanted) -> list[tuple[str, str]]:
        self.cgroup.mkdir()
        log = self.place / "launcher.log"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", STAGE, "stage"]
        command += [self.root, self.place, self.home, "--units", "/treeward/units"]
        command += ["--run-dir", "/treeward/run", "--log-dir", "/treeward/log"]
        # systemd has a socket at /dev/log for every service.
        command += ["--cgroup-root", self.cgroup, "--syslog"]
        with log.open("w") as out:
            launcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            came = wait_until(lambda: self.slc("version").returncode == 0 or launcher.poll() is not None)
            if not came or launcher.poll() is not None:
                raise SystemExit(f"import-survey: the supervisor does not run:\n{log.read_text()}")
            return [(service, self.one(service)) for _, service in wanted]
        finally:
            self.end(launcher)

    def end(self, launcher) -> None:
        if launcher.poll() is None:
            launcher.send_signal(signal.SIGTERM)
        try:
            launcher.wait(PATIENCE["end"])
        except subprocess.TimeoutExpired:
            (self.cgroup / "cgroup.kill").write_text("1")
            launcher.kill()
            launcher.wait()
        wait_until(lambda: not self.pids(self.cgroup))
        for path, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(path)

    def slc(self, *arguments: str) -> subprocess.CompletedProcess:
        socket = str(self.place / "treeward/run/control.sock")
        command = [self.slc_program, "--socket", socket, *arguments]
        limit = PATIENCE["daemon"]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 6, "", f"no answer within {limit} s")

    @staticmethod
    def pids(cgroup: Path) -> list[str]:
        found = []
        for path in cgroup.rglob("cgroup.procs"):
            try:
                found += path.read_text().split()
            except OSError:
                pass  # It was removed meanwhile.
        return found

    def imported(self, service: str) -> str:
        """Puts the unit among the supervisor's; gives what is wrong."""
        path = self.root / f"lib/systemd/system/{service}.service"
        command = [self.slc_program, "import", path, "--output", self.place / "made"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        made = self.place / f"made/{service}.yml"
        if answer.returncode != 0 or not made.exists():
            return f"not imported: {answer.stderr.strip()}"
        shutil.copy(made, self.units / made.name)
        return ""

    def state(self, service: str) -> str:
        listing = json.loads(self.slc("list", "--json").stdout or "{}")
        states = {it["name"]: it["state"] for it in listing.get("services", [])}
        return states.get(service, "unknown")

    def one(self, service: str) -> str:
        """Starts and stops one daemon; gives what is wrong, or nothing."""
        if failure := self.imported(service):
            return failure
        self.slc("reload")
        # What a timer starts is work: it is starting until it is done.
        is_work = "\ntimer:" in (self.units / f"{service}.yml").read_text()
        started = self.slc("start", *(["--no-wait"] if is_work else []), service)
        # What ends at once was up for a moment, too.
        time.sleep(1)
        state = self.state(service)
        failure = ""
        if state not in ("up", "done") and not (is_work and state == "starting"):
            said = " ".join(started.stderr.split())
            last = self.slc("journal", "-n", "8", "--log-dir", self.place / "treeward/log", service)
            last = (last.stdout or last.stderr).strip()
            failure = f"is {state}: {said}\n    " + last.replace("\n", "\n    ")
        stopped = self.slc("stop", service)
        left = self.pids(self.cgroup / "services" / service)
        if not failure and (stopped.returncode != 0 or left):
            failure = f"stop: {stopped.stderr.strip()}, {len(left)} processes left"
        (self.units / f"{service}.yml").unlink()
        self.slc("reload")
        return failure


def wait_until(holds) -> bool:
    until = time.monotonic() + PATIENCE["end"]
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
