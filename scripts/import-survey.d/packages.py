"""The packages: a list, their files from Debian's archive, and what is in them."""

import subprocess
from pathlib import Path

# What an import reads of a package.
WANTED = ["./lib/systemd/system", "./usr/lib/systemd/system", "./etc/systemd/system"]
# Seconds that apt-get may take for all of them.
PATIENCE = 900


def listed(home: Path) -> list[str]:
    lines = (home / "tests/import/packages").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def unpacked(home: Path, names: list[str]) -> dict[str, Path]:
    """The directory that each package's units are unpacked in."""
    place = home / "target/import-survey"
    debs = place / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    there = {path.name.split("_")[0] for path in debs.glob("*.deb")}
    missing = [name for name in names if name not in there]
    if missing:
        print(f"import-survey: downloading {len(missing)} packages", flush=True)
        command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *missing]
        if subprocess.run(command, cwd=debs, check=False, timeout=PATIENCE).returncode != 0:
            # A fresh machine has no list of packages yet, and an old one may name what is gone.
            subprocess.run(["apt-get", "-qq", "update"], check=True, timeout=PATIENCE)
            subprocess.run(command, cwd=debs, check=True, timeout=PATIENCE)
    roots = {}
    for name in names:
        roots[name] = place / "units" / name
        if not roots[name].exists():
            (deb,) = debs.glob(f"{name}_*.deb")
            unpack(deb, roots[name])
    return roots


def unpack(deb: Path, root: Path) -> None:
    """The units of a package, and nothing else. A package without any leaves an empty directory."""
    fresh = root.with_name(root.name + ".new")
    fresh.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as contents:
        command = ["tar", "-C", fresh, "-x", "--no-same-owner", "--wildcards"]
        # tar(1) fails when a pattern matches nothing, which is no failure here.
        command += [f"{pattern}/*" for pattern in WANTED]
        subprocess.run(command, stdin=contents.stdout, stderr=subprocess.DEVNULL, check=False)
    if contents.returncode != 0:
        raise SystemExit(f"import-survey: {deb} cannot be unpacked")
    fresh.rename(root)
