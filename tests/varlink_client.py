#!/usr/bin/env python3
"""Talks to the supervisor with the varlink package from PyPI, which knows nothing of us.

usage: varlink_client.py SOCKET UNIT

UNIT must exist; it is stopped, started and restarted. Exits with 0 when everything was right.
"""

import sys
import threading
import time

import varlink

INTERFACE = "org.treeward.Supervisor"


def main(socket, unit):
    client = varlink.Client.new_with_address("unix:" + socket)
    interfaces = client.get_interfaces()
    assert INTERFACE in interfaces, interfaces
    description = client.get_interface(INTERFACE)
    for method in ("List", "Status", "Start", "Stop", "Watch", "Version"):
        assert method in description.members, method

    with client.open(INTERFACE) as supervisor:
        services = supervisor.List()["services"]
        assert unit in [service["name"] for service in services], services
        assert supervisor.Version()["version"]["pid"] > 0

        for order in (supervisor.Stop, supervisor.Start):
            (outcome,) = order([unit], True)["outcomes"]
            assert outcome["unit"] == unit and outcome["done"], outcome
        (status,) = supervisor.Status([unit])["services"]
        assert status["summary"]["name"] == unit, status
        assert len(status["tree"]) <= status["processes"], status

        try:
            supervisor.Status(["no-such-unit-anywhere"])
        except varlink.VarlinkError as error:
            assert error.error() == INTERFACE + ".NoSuchUnit", error
        else:
            raise AssertionError("a unit that does not exist has a status")

        try:
            supervisor.Watch()
        except varlink.VarlinkError as error:
            assert error.error() == "org.varlink.service.ExpectedMore", error
        else:
            raise AssertionError("Watch answered without 'more'")

        follow(client, supervisor, unit)


def follow(client, supervisor, unit):
    """Watches on a second connection until changes of this unit arrive."""
    seen = []
    enough = threading.Event()

    def watch():
        with client.open(INTERFACE) as watched:
            for answer in watched.Watch(_more=True):
                if answer["change"]["unit"] == unit:
                    seen.append(answer["change"])
                if len(seen) == 2:
                    enough.set()
                    return

    threading.Thread(target=watch, daemon=True).start()
    # Nothing tells when the watch has begun, so there are orders until it shows some of them.
    deadline = time.monotonic() + 30
    while not enough.is_set():
        assert time.monotonic() < deadline, "no changes within 30 s: %r" % seen
        supervisor.Restart([unit], True)
        enough.wait(0.2)
    assert all(change["from"] != change["to"] for change in seen), seen


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
    print("all right")
