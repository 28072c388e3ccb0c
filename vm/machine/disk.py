"""The files that a machine is given: Treeward's programs, units, and what a scene wants."""

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PROJECT = HERE.parent
PLACE = Path(os.environ.get("TREEWARD_VM", PROJECT / "target/vm"))
PROGRAMS = Path(os.environ.get("TREEWARD_PROGRAMS", PROJECT / "out"))
# What a machine has that consists of Treeward and busybox.
APPLETS = """base64 cat chmod cut date dd df dmesg env false free getty grep head hostname id ip kill ln
    login ls mkdir mount mv ping poweroff printf ps pwd readlink rm rmdir sed sh sleep sort stat stty
    sync tail test touch tr true umount uname uptime wc which xargs""".split()


@dataclass(frozen=True)
class File:
    """A file of a machine: its bytes, or with `link` where it points to; `mode` with None is no file."""

    data: bytes = b""
    mode: int = 0o644
    link: str = ""


def as_file(content):
    """Text stands for a plain file, and a script when it begins with #!."""
    if isinstance(content, File):
        return content
    return File(content.encode(), 0o755 if content.startswith("#!") else 0o644)


def treeward_files(spec):
    """Path to File for all that the machine of `spec` gets beside its root."""
    files = {}
    for program in ("init", "service-launcher", "slc", "run-on-pid-ns"):
        files[f"usr/local/bin/{program}"] = File((PROGRAMS / program).read_bytes(), 0o755)
    units = dict(spec.units)
    for name in spec.examples:
        template, at, instance = name.partition("@")
        if instance:
            # An instance is a link to its template.
            units[template + at] = (PROJECT / f"examples/{template}@.yml").read_text()
            units[name] = File(link=f"{template}@.yml")
            continue
        # An example that is not for everybody ends in .disabled.
        source = PROJECT / f"examples/{name}.yml"
        if not source.exists():
            source = PROJECT / f"examples/{name}.yml.disabled"
        units[name] = source.read_text()
    if spec.shell:
        files["opt/vm/shell"] = as_file((HERE / "guest/shell").read_text())
        units["vm-shell"] = (HERE / "guest/vm-shell.yml").read_text()
    for name, text in units.items():
        files[f"etc/yml-services/{name}.yml"] = as_file(text)
    files["etc/fstab"] = as_file(spec.fstab)
    files.update({path.lstrip("/"): as_file(content) for path, content in spec.files.items()})
    return files


def initramfs_files(files):
    """The same for a machine that is an initramfs: at the top of it, with busybox and nothing else."""
    files = dict(files)
    for program in ("init", "service-launcher", "slc", "run-on-pid-ns"):
        files[program] = File(link=f"/usr/local/bin/{program}")
    # The supervisor makes its log directory, and nothing above it.
    files["var/log/.keep"] = File()
    files["bin/busybox"] = File((PLACE / "root/bin/busybox").read_bytes(), 0o755)
    for applet in APPLETS:
        files[f"bin/{applet}"] = File(link="busybox")
    return files


def write_tar(files, path):
    """For the disk "treeward"; a disk is as long as its sectors, which a tar is."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = file.mode, len(file.data)
            if file.link:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.link
            tar.addfile(entry, io.BytesIO(file.data))


def write_cpio(files, path):
    """For the kernel: the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def padded(data):
        return data + b"\0" * (-len(data) % 4)

    def entry(number, name, mode, data):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + "".join(f"{field:08x}" for field in fields).encode()
        return padded(head + name.encode() + b"\0") + padded(data)

    folders = {str(folder) for name in files for folder in Path(name).parents} - {"."}
    with open(path, "wb") as archive:
        for number, name in enumerate(sorted(folders), 1):
            archive.write(entry(number, name, 0o040755, b""))
        for number, (name, file) in enumerate(files.items(), 100000):
            mode = 0o120777 if file.link else 0o100000 | file.mode
            archive.write(entry(number, name, mode, file.link.encode() if file.link else file.data))
        archive.write(entry(0, "TRAILER!!!", 0, b""))
