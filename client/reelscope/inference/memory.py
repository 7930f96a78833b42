"""Memory that windows of frames are decoded into: shared with the server where it can be, ordinary where not.

Other large arrays that the server is asked about are copied into shared memory.
"""

from __future__ import annotations

import contextlib
import errno
import math
import mmap
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from reelscope.inference.connection import CONTROL_SECONDS
from reelscope.processes import ProcessIdentity, owner
from reelscope.types import WINDOW_FRAMES, FrameBuffer

_NAME = "reelscope-window"
SHARED_MEMORY = Path("/dev/shm")
"""Where POSIX shared memory lives on Linux: shm_open("/name") opens this folder's file."""
ROOM_WINDOWS = 8
"""Windows that must fit before one is taken. Triton's Python processes get their frames through the same memory, up to
two windows for each model: without room for that no call succeeds, and a window that travels inline is only slower."""


_STEP_BYTES = 4_000_000
"""Sizes of what is copied are rounded up, so that questions of other sizes can use a region again."""


class PlainBuffer:
    """A window in ordinary memory, sent inside the request."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Allocate uint8 of the given shape."""
        self.array: NDArray[np.uint8] = np.empty(shape, np.uint8)

    def close(self) -> None:
        """Nothing to give back."""


class Region:
    """A POSIX shared-memory region that the server has mapped."""

    def __init__(self, client: InferenceServerClient, size: int) -> None:
        """Create and register a region; its name disappears at once, so that not even a crash leaves it behind."""
        process = ProcessIdentity.of(os.getpid())
        assert process is not None
        self.name = process.prefix(_NAME) + secrets.token_hex(8)
        self.size = size
        if shutil.disk_usage(SHARED_MEMORY).free < ROOM_WINDOWS * size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(SHARED_MEMORY))
        file = SHARED_MEMORY / self.name
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            # Without pages of its own, a full /dev/shm would kill the process at the first write.
            os.posix_fallocate(descriptor, 0, size)
            self.memory = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
            client.register_system_shared_memory(self.name, f"/{self.name}", size, client_timeout=CONTROL_SECONDS)
        except BaseException:
            self.destroy(client)  # a signal may have come when the server had it already
            raise
        finally:
            os.close(descriptor)
            file.unlink()

    def destroy(self, client: InferenceServerClient) -> bool:
        """Unmap the region on the server; here the mapping goes with its last view.

        Returns:
            Whether the server has let go of it: not while a question that was given up still uses it, nor when the
            server itself is gone.
        """
        try:
            client.unregister_system_shared_memory(self.name, client_timeout=CONTROL_SECONDS)
        except InferenceServerException:
            return False
        return True


class SharedBuffer:
    """A window in a shared-memory region; closing it gives the region back for the next window."""

    def __init__(self, region: Region, shape: tuple[int, ...], free: list[Region]) -> None:
        """See a region as uint8 of the given shape; it goes to `free` when this is closed."""
        self.region, self._free = region, free
        self.array: NDArray[np.uint8] = np.ndarray(shape, np.uint8, region.memory)

    def close(self) -> None:
        """Free the region; idempotent."""
        if self.array.size:
            self.array = np.empty(0, np.uint8)
            self._free.append(self.region)


class WindowMemory:
    """Hands out buffers for windows, and uses their regions again: fresh pages cost more than sending a window."""

    def __init__(self, client: InferenceServerClient, is_shared: bool) -> None:
        """Allocate in shared memory registered through `client`, if `is_shared`."""
        self.is_shared = is_shared
        self._client = client
        self._regions: list[Region] = []
        self._free: list[Region] = []
        self._lock = threading.Lock()  # the decoder takes windows, and sources copy what they ask about

    def allocate(self, height: int, width: int, rows: int = WINDOW_FRAMES) -> FrameBuffer:
        """Memory for one window of [rows, height, width, 3] uint8.

        A server that cannot map our memory (another host, another IPC namespace, switched off) refuses the
        registration, and shared memory may be full: from then on frames are sent inline.
        """
        shape = (rows, height, width, 3)
        if self.is_shared:
            try:
                return self._shared(shape)
            except (InferenceServerException, OSError):
                self.is_shared = False
        return PlainBuffer(shape)

    def copied(self, array: NDArray[Any]) -> SharedBuffer | None:
        """An array of numbers, its bytes in shared memory; None where there is no room, or frames are sent inline."""
        if not self.is_shared or array.dtype.hasobject:
            return None
        try:
            buffer = self._shared((-(-array.nbytes // _STEP_BYTES) * _STEP_BYTES,))
        except (InferenceServerException, OSError):
            return None
        buffer.array[: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return buffer

    def _shared(self, shape: tuple[int, ...]) -> SharedBuffer:
        return SharedBuffer(self._region(math.prod(shape)), shape, self._free)

    def release(self) -> None:
        """Destroy the regions that nothing is in; `allocate` makes new ones."""
        with self._lock:
            refused = []
            while self._free:
                region = self._free.pop()
                if region.destroy(self._client):
                    self._regions.remove(region)
                else:
                    refused.append(region)
            self._free += refused

    def destroy(self) -> None:
        """Destroy every region, also those that a hung reader never gave back."""
        for region in self._regions:
            region.destroy(self._client)

    def _region(self, size: int) -> Region:
        with self._lock:
            for region in self._free:
                if region.size == size:
                    self._free.remove(region)
                    return region
            if not self._regions:
                _unmap_regions_of_the_dead(self._client)
            region = Region(self._client, size)
            self._regions.append(region)
            return region


def _unmap_regions_of_the_dead(client: InferenceServerClient) -> None:
    """Let the server forget windows of killed clients; their memory would stay until it ends."""
    for name in client.get_system_shared_memory_status(client_timeout=CONTROL_SECONDS).regions:
        process = owner(name, _NAME)
        if process is not None and not process.is_alive():
            with contextlib.suppress(InferenceServerException):  # another client was faster
                client.unregister_system_shared_memory(name, client_timeout=CONTROL_SECONDS)
