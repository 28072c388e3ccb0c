"""What a machine boots: its root, its files, its kernel, as QEMU is told."""

import subprocess
from dataclasses import dataclass, field, replace

from . import disk
from .disk import PLACE

# Busybox has no agetty, and no users.
INITRAMFS_UNITS = {
    "shell-ttyS0": "tty: /dev/ttyS0\ncommand: /bin/sh\ntype: simple\nstop_signal: HUP\nrestart: always\n",
}


@dataclass(frozen=True)
class Spec:
    """What a machine boots: its root, the units of examples/ and its own, and further files.

    - `root`: "squashfs" (kept in memory what is written), "ext4", "9p" (a directory of the host), or
      "initramfs" (Treeward and busybox, and no other root)
    - `handed_over`: whether /proc, /sys, /dev and /run are mounted before `init` runs
    """

    root: str = "squashfs"
    examples: tuple = ()
    units: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    fstab: str = "overlay / overlay defaults 0 0\n"
    append: str = ""
    handed_over: bool = True
    shell: bool = True
    memory: int = 1024

    def but(self, **changes):
        """The same with other fields."""
        return replace(self, **changes)


def prepare(spec, directory):
    """Makes the disks of a machine in an empty directory."""
    files = disk.treeward_files(spec)
    match spec.root:
        case "initramfs":
            disk.write_cpio(disk.initramfs_files(files), directory / "initramfs")
            return
        case "ext4":
            # The image is mostly holes, and stays so.
            subprocess.run(["cp", "--sparse=always", PLACE / "root.ext4", directory], check=True)
        case "9p":
            # Not shutil.copytree: owners count.
            subprocess.run(["cp", "-a", PLACE / "root", directory], check=True)
    disk.write_tar(files, directory / "treeward.tar")


def arguments(spec, directory):
    """What QEMU is told beside its accelerator and its lines."""
    kernel = "generic" if spec.root == "9p" else "cloud"
    initrd = PLACE / f"initrd-{kernel}.cpio"
    words = ["console=ttyS0", "loglevel=3", "panic=-1", "ro", "init=/init"]
    told = ["-smp", "2", "-m", str(spec.memory), "-nic", "user,model=virtio-net-pci"]
    match spec.root:
        case "squashfs":
            words += ["root=/dev/vda", "rootfstype=squashfs", "vm.overlay"]
            told += drive("root", PLACE / "root.squashfs", ",readonly=on")
        case "ext4":
            words += ["root=/dev/vda", "rootfstype=ext4"]
            told += drive("root", directory / "root.ext4", ",cache=unsafe")
        case "9p":
            words += [
                "root=root0", "rootfstype=9p",
                "rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=262144",
            ]
            shared = f"path={directory}/root,mount_tag=root0,security_model=passthrough,multidevs=remap"
            told += ["-virtfs", f"local,{shared}"]
        case "initramfs":
            initrd = directory / "initramfs"
            words.remove("init=/init")
    if spec.root != "initramfs":
        told += drive("treeward", directory / "treeward.tar", ",readonly=on")
    if not spec.handed_over:
        words.append("vm.bare")
    return told + [
        "-kernel", str(PLACE / f"vmlinuz-{kernel}"), "-initrd", str(initrd),
        "-append", " ".join([*words, spec.append]).strip(),
    ]


def drive(serial, path, more=""):
    """A disk that the machine knows by its serial number."""
    return [
        "-drive", f"file={path},if=none,id={serial},format=raw{more}",
        "-device", f"virtio-blk-pci,drive={serial},serial={serial}",
    ]
