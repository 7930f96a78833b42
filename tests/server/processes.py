"""What the embedded server leaves on the machine: its processes, its shared memory, its listening sockets."""

from __future__ import annotations

import time
from pathlib import Path

from reelscope.processes import ProcessIdentity


def of_server(marker: str) -> list[str]:
    """Command lines of living processes of Triton or its keeper that name `marker` (a folder of the test)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z" and marker in command and ("triton" in command or "supervisor.py" in command):
            found.append(command)
    return found


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def leaked_shared_memory() -> list[str]:
    """Regions of the embedded servers of this machine whose supervisor is gone."""
    leaked = []
    for name in shared_memory():
        if name.startswith("reelscope-"):
            pid, ticks = name.split("-")[2:4]
            if not ProcessIdentity(int(pid), int(ticks)).is_alive():
                leaked.append(name)
    return leaked


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses ("127.0.0.1", port) on which a process accepts TCP connections, from /proc."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                # tcp6 lists IPv4 sockets of dual-stack servers as ::ffff:a.b.c.d.
                is_ipv4 = table == "tcp" or address.startswith("0000000000000000FFFF0000")
                readable = ".".join(str(byte) for byte in bytes.fromhex(address[-8:])[::-1]) if is_ipv4 else address
                found.add((readable, int(port, 16)))
    return found
