"""Keeps one tritonserver, and takes it away with everything it leaves behind, however it or its owner ends.

Run as a script by a bare interpreter (`python -I -S supervisor.py OWNER_PID COMMAND...`), so it imports the standard
library and what needs no more, is single-threaded, and may set the child up between fork and exec.

- Owner gone (exit, crash, SIGKILL): seen by polling the parent's pid; unlike the kernel's parent-death signal this does
  not depend on which *thread* of the owner started us. SIGUSR1 ends the watch: the server outlives its owner.
- SIGTERM or SIGINT: the server is asked to end, and killed after a grace period.
- tritonserver gone: its Python stubs are killed (we adopt them) and its shared memory is removed.
- We are gone (SIGKILL): the kernel kills tritonserver, its stubs notice within a second, and the next start sweeps the
  shared memory, whose names tell whose they are: reelscope-<pid namespace>-<pid>-<start tick>-...

Prints one line, the pid of tritonserver; everything after that goes to stderr, which is the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # a bare interpreter knows no packages

from reelscope.processes import ProcessIdentity, owner

GRACE_SECONDS = 8.0
"""Time between asking tritonserver to end and killing it; above its own --exit-timeout-secs."""
DETACH_SIGNAL = signal.SIGUSR1
"""Ends the watch over the owner."""
_POLL_SECONDS = 0.25
_SIGNALS = (signal.SIGTERM, signal.SIGINT, DETACH_SIGNAL, signal.SIGCHLD)
_SHARED_MEMORY = Path("/dev/shm")
_NAME = "reelscope"
# From linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def sweep_shared_memory(of: ProcessIdentity | None = None) -> None:
    """Remove the shared memory of dead supervisors, and of the one named (dead or alive)."""
    for region in _SHARED_MEMORY.glob(f"{_NAME}-*"):
        process = owner(region.name, _NAME)
        if process is not None and (process == of or not process.is_alive()):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                region.unlink()


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    supervisor_pid = os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if os.getppid() != supervisor_pid:
            os._exit(1)

    # Its own process group, so that the stubs can be killed together and we are not among them.
    return subprocess.Popen(command, stdout=sys.stderr, preexec_fn=in_child, process_group=0)


def _watch(server: subprocess.Popen[bytes], owner_pid: int) -> bool:
    """Wait for a reason to end; True when tritonserver ended by itself."""
    watched = True
    while server.poll() is None:
        received = signal.sigtimedwait(_SIGNALS, _POLL_SECONDS)
        if received and received.si_signo in (signal.SIGTERM, signal.SIGINT):
            return False
        if received and received.si_signo == DETACH_SIGNAL:
            watched = False
        if watched and os.getppid() != owner_pid:
            return False
    return True


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)


def main(owner_pid: int, command: list[str]) -> int:
    """Run the command until it ends or must end; returns 1 when it ended by itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    sweep_shared_memory()
    prefix = identity.prefix(_NAME)
    server = _start([*command, f"--backend-config=python,shm-region-prefix-name={prefix}"])
    print(server.pid, flush=True)
    os.dup2(2, 1)
    ended_by_itself = _watch(server, owner_pid)
    if ended_by_itself:
        print(f"supervisor: tritonserver ended by itself, status {server.returncode}", flush=True)
    _end(server)
    sweep_shared_memory(identity)
    return int(ended_by_itself)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
