"""Wanted pictures on their way to RGB: converted beside decoding, given out in order by chunks."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from av.video.frame import VideoFrame

from pipelines.video.scale import PictureConverter, upright_size
from schemas.errors import TakeError

__all__ = ["PictureChunks"]

# One helper keeps up with this many decoding threads: a picture is converted in a tenth to a
# quarter of the time in which the frames from one grid time to the next are decoded.
_DECODERS_A_HELPER: Final = 4
# Decoded pictures that wait for one helper.
_WAITING: Final = 2


class PictureChunks:
    """Collects pictures into chunks. A context manager: helpers end with it.

    Attributes:
        added: pictures taken in so far.
    """

    def __init__(
        self, *, total: int, chunk: int, short_side: int | None, threads: int, name: str
    ) -> None:
        """Set up.

        Args:
            total: pictures that will be added.
            chunk: pictures a chunk; the last may hold fewer.
            short_side: as for ``PictureConverter``.
            threads: with one, the caller's thread converts.
            name: of the file, for errors.
        """
        self.added = 0
        self._total, self._chunk, self._name = total, chunk, name
        self._short_side = short_side
        self._converter = PictureConverter(short_side=short_side)
        helpers = -(-threads // _DECODERS_A_HELPER) if threads > 1 else 0
        # One torch thread in each: there are as many helpers as are worth their cores.
        self._pool = (
            ThreadPoolExecutor(helpers, initializer=torch.set_num_threads, initargs=(1,))
            if helpers
            else None
        )
        self._room = helpers * (1 + _WAITING)
        self._converting: deque[Future[None]] = deque()
        self._source: tuple[int, int, int] | None = None
        self._out = np.empty((0, 0, 0, 3), dtype=np.uint8)
        self._filled = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def add(self, frame: VideoFrame) -> Iterator[npt.NDArray[np.uint8]]:
        """Take the next wanted picture; yield a chunk (n, h, w, 3) once it is full.

        Raises:
            TakeError: ``video_undecodable`` if the picture's size is not that of those before.
        """
        source = (frame.height, frame.width, frame.rotation)
        if self._source is None:
            self._source = source
        elif source != self._source:
            raise TakeError("video_undecodable", f"frames must keep one size [{self._name}]")
        if self._filled == 0:
            rows = min(self._chunk, self._total - self.added)
            size = upright_size(frame, short_side=self._short_side)
            self._out = np.empty((rows, *size, 3), dtype=np.uint8)
        row = self._out[self._filled]
        if self._pool is None:
            self._converter.convert(frame, row)
        else:
            if len(self._converting) == self._room:
                self._converting.popleft().result()
            self._converting.append(self._pool.submit(self._converter.convert, frame, row))
        self.added += 1
        self._filled += 1
        if self._filled == len(self._out):
            while self._converting:
                self._converting.popleft().result()
            full, self._filled = self._out, 0
            yield full
