"""Keeps one tritonserver, and takes it away with everything it leaves behind, however it or its owner ends.

Run as a script by a bare interpreter (`python -I -S supervisor.py --owner PID ... -- COMMAND...`), so it imports the
standard library and what needs no more, is single-threaded, and may set the child up between fork and exec.

- Owner gone (exit, crash, SIGKILL): seen by polling the parent's pid; unlike the kernel's parent-death signal this does
  not depend on which *thread* of the owner started us. SIGUSR1 ends the watch: the server outlives its owner.
- SIGTERM or SIGINT: the server is asked to end, and killed after a grace period.
- tritonserver gone: its Python stubs are killed (we adopt them) and its shared memory is removed. After SIGUSR2, which
  says that it is complete, it is started again at the same ports with all its models, and so it is after SIGHUP, which
  asks for that; Triton opens its ports when the models are loaded, so that an open port says that it serves.
- A stub gone (killed, crashed, out of memory): Triton 2.51 goes on calling its model ready, and fails each request
  ("Stub process is not healthy"). The model is unloaded and loaded again, by a process that speaks gRPC: `reload`.
- Both are done at most RECOVERIES times within RECOVERY_WINDOW_SECONDS, each later than the one before.
- We are gone (SIGKILL): the kernel kills tritonserver, its stubs notice within a second, and the next start sweeps the
  shared memory, whose names tell whose they are: reelscope-<pid namespace>-<pid>-<start tick>-...

Prints one line, the pid of tritonserver; everything after that goes to stderr, which is the log. The state file says
which tritonserver runs, and what happened to it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # a bare interpreter knows no packages

from reelscope.processes import ProcessIdentity, owner

GRACE_SECONDS = 8.0
"""Time between asking tritonserver to end and killing it; above its own --exit-timeout-secs."""
DETACH_SIGNAL = signal.SIGUSR1
"""Ends the watch over the owner."""
KEEP_SIGNAL = signal.SIGUSR2
"""The server is complete: from now on it is started again when it ends by itself, and its models when they do."""
RESTART_SIGNAL = signal.SIGHUP
"""Ends the server, which answers what it was asked, and starts it again."""
RECOVERIES = 5
"""Most restarts and reloads within the window; what goes on dying is given up."""
RECOVERY_WINDOW_SECONDS = 600.0
_LONGEST_PAUSE_SECONDS = 30.0
_POLL_SECONDS = 0.25
_STUBS_SECONDS = 0.5
"""How often stubs are counted; one that is absent twice is dead, so that this is seen within a second."""
_START_SECONDS = 900.0
"""Longest that a restarted server may take to load its models."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, DETACH_SIGNAL, KEEP_SIGNAL, RESTART_SIGNAL, signal.SIGCHLD)
_SHARED_MEMORY = Path("/dev/shm")
_NAME = "reelscope"
_INSTANCE = 8
"""Which argument of a stub is the name of its instance: MODEL_GROUP_DEVICE."""
_KEPT_EVENTS = 20
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


def pause_seconds(recoveries: Sequence[float], now: float) -> float | None:
    """How long to wait before the next recovery, given when earlier ones were; None when there were too many."""
    recent = sum(now - moment < RECOVERY_WINDOW_SECONDS for moment in recoveries)
    if recent >= RECOVERIES:
        return None
    return min(2.0 ** (recent - 1), _LONGEST_PAUSE_SECONDS) if recent else 0.0


def stubs_of(server_pid: int) -> dict[str, int]:
    """Living Python stubs of a tritonserver: name of the model's instance -> process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == server_pid and fields[0] not in "ZX":
                command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if command[0].endswith("/triton_python_backend_stub"):
                    found[command[_INSTANCE]] = int(folder.name)
    return found


class _Ended(Exception):
    """The supervisor is to end; the value is its exit status."""


class Supervisor:
    """One tritonserver after the other, at the same ports."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Start the first, whose models its owner loads."""
        self._options = options
        self._is_watched, self._is_kept, self._is_asked = True, False, False
        self._recovered_at: list[float] = []
        self._events: list[dict[str, object]] = []
        self._stubs: dict[str, int] = {}
        self._absent: set[str] = set()
        self._counted_at = 0.0
        self._server = _start(self._command())
        self._write("serving")

    @property
    def server_pid(self) -> int:
        """Process id of the tritonserver of the moment."""
        return self._server.pid

    def run(self) -> int:
        """Keep it until it must end; returns 1 when it ended by itself, and was not to be started again."""
        try:
            while True:
                self._wait(_POLL_SECONDS)
                status = self._server.poll()
                if status is not None and not self._is_kept:
                    print(f"supervisor: tritonserver ended by itself, status {status}", flush=True)
                    return 1
                if status is not None:
                    self._recover(f"tritonserver ended by itself, status {status}")
                elif self._is_asked:
                    self._restart("restart was asked for", time.monotonic())
                elif self._is_kept and time.monotonic() - self._counted_at > _STUBS_SECONDS:
                    self._count_stubs()
        except _Ended as ended:
            return int(ended.args[0])
        finally:
            _end(self._server)

    def _command(self, *more: str) -> list[str]:
        return [*self._options.command, *more]

    def _wait(self, seconds: float) -> None:
        """Let time pass, and heed signals; ended when asked to, or with the owner."""
        deadline = time.monotonic() + seconds
        while True:
            received = signal.sigtimedwait(_SIGNALS, max(0.0, min(deadline - time.monotonic(), _POLL_SECONDS)))
            if received and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                raise _Ended(0)
            if received:
                self._is_watched &= received.si_signo != DETACH_SIGNAL
                self._is_kept |= received.si_signo == KEEP_SIGNAL
                self._is_asked |= received.si_signo == RESTART_SIGNAL
            if self._is_watched and os.getppid() != self._options.owner:
                raise _Ended(0)
            if received or time.monotonic() >= deadline:
                return

    def _recover(self, why: str) -> None:
        """Start the server again, as often as it takes; give up when that is too often."""
        seen = time.monotonic()
        while True:
            self._pause(why)
            if self._restart(why, seen):
                return
            why = "tritonserver did not start again"

    def _pause(self, why: str) -> None:
        """Wait as long as the recoveries before this one demand."""
        seconds = pause_seconds(self._recovered_at, time.monotonic())
        if seconds is None:
            self._give_up(why)
        print(f"supervisor: {why}; recovery {len(self._recovered_at) + 1} begins in {seconds:g} s", flush=True)
        self._write("recovering")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._wait(left)
        self._recovered_at.append(time.monotonic())

    def _give_up(self, why: str) -> NoReturn:
        minutes = RECOVERY_WINDOW_SECONDS / 60
        print(f"supervisor: {why}; given up after {RECOVERIES} recoveries in {minutes:g} minutes", flush=True)
        self._note(why, None)
        self._write("given up")
        raise _Ended(1)

    def _restart(self, why: str, since: float) -> bool:
        """End the server if it runs, start another with all models; False when it does not serve."""
        self._is_asked = False
        self._write("restarting")
        _end(self._server)
        identity = ProcessIdentity.of(os.getpid())
        sweep_shared_memory(identity)
        # What cannot be loaded costs itself, not the server.
        loads = [f"--load-model={model}" for model in self._options.load]
        self._server = _start(self._command("--exit-on-error=false", *loads))
        deadline = time.monotonic() + _START_SECONDS
        while not (serves := _is_open(self._options.port)) and self._server.poll() is None:
            if time.monotonic() > deadline:
                break
            self._wait(_POLL_SECONDS)
        if serves:
            self._stubs, self._absent, self._is_asked = stubs_of(self.server_pid), set(), False
            self._note(why, time.monotonic() - since)
            self._write("serving")
        return serves

    def _count_stubs(self) -> None:
        """See which stubs are gone, and load their models again, where Triton still takes them for ready."""
        living = stubs_of(self.server_pid)
        gone = self._stubs.keys() - living.keys()
        dead, self._absent = gone & self._absent, gone - self._absent
        self._stubs = living | {name: self._stubs[name] for name in self._absent}
        self._counted_at = time.monotonic()
        models = {name: name.rsplit("_", 2)[0] for name in dead}
        for model in sorted({model for model in models.values() if model in self._options.load}):
            self._reload(model)

    def _reload(self, model: str) -> None:
        seen = time.monotonic()
        why = f"{model}: its process is gone"
        if pause_seconds(self._recovered_at, seen) is None:
            print(f"supervisor: {why}; it is left alone after {RECOVERIES} recoveries", flush=True)
            self._note(why, None)
            self._write("serving")
            return
        command = [sys.executable, "-P", "-m", "reelscope.embedded.reload", self._options.url, model]
        # Threads of the child must not inherit what is blocked here.
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()),
        )
        try:
            while process.poll() is None:
                self._wait(_POLL_SECONDS)
        finally:
            process.kill()
        said = process.communicate()[0].strip()
        if process.returncode == 0 and said == "not ready":
            return  # it was unloaded on purpose
        self._recovered_at.append(seen)
        loaded = process.returncode == 0
        self._note(why if loaded else f"{why}, and it cannot be loaded again: {said}", time.monotonic() - seen)
        self._write("serving")

    def _note(self, why: str, seconds: float | None) -> None:
        """Put on record what happened, and how long it lasted, seen to served; None when it was not mended."""
        if seconds is not None:
            print(f"supervisor: {why}; serves again after {seconds:.1f} s", flush=True)
        self._events.append({"at": time.time(), "what": why, "seconds": seconds})

    def _write(self, state: str) -> None:
        file = self._options.state
        if file is not None:
            aside = file.with_suffix(".new")
            said = {"state": state, "server_pid": self.server_pid, "events": self._events[-_KEPT_EVENTS:]}
            aside.write_text(json.dumps(said))
            aside.replace(file)


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def main(arguments: list[str]) -> int:
    """Run the command until it ends or must end; returns 1 when it ended by itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--load", action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    sweep_shared_memory()
    options.command.append(f"--backend-config=python,shm-region-prefix-name={identity.prefix(_NAME)}")
    supervisor = Supervisor(options)
    print(supervisor.server_pid, flush=True)
    os.dup2(2, 1)
    status = supervisor.run()
    sweep_shared_memory(identity)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
