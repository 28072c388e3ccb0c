"""A machine in QEMU that is driven from outside: its serial lines, its monitor, and what it boots.

- `line`: bytes that come and go, and waiting for a text among them.
- `disk`: the files a machine is given, as a tar or as an initramfs.
- `qemu`: the command line, which accelerator answers, the process and its monitor.
- `boot`: what a machine boots: root, files, kernel.
- `machine`: one machine from power-on to power-off, as scenes see it.
- `prepare`: building what is missing before.
- `runner`: the scenes: finding, running and reporting them.
"""
