"""What must be there before a machine boots."""

import os
import subprocess
import sys

from .disk import HERE, PROJECT


def all_built():
    """Builds the machine and the programs, where they are not up to date; ends this when that fails."""
    orders = [[str(HERE / "build")]]
    if "TREEWARD_PROGRAMS" not in os.environ:
        orders.append([str(PROJECT / "scripts/build"), "--static"])
    for order in orders:
        done = subprocess.run(order, cwd=PROJECT)
        if done.returncode != 0:
            sys.exit(f"{order[0]}: failed, so there is nothing to boot")
