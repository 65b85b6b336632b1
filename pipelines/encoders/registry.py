"""The encoder a config names, loaded once a process."""

from functools import lru_cache
from threading import Lock

from pipelines.config import EncoderConfig
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.clip4clip import open_clip4clip

__all__ = ["open_encoder"]

_LOCK = Lock()


def open_encoder(config: EncoderConfig) -> FrozenEncoder:
    """Return the encoder of ``config``; equal configs share one, also between threads.

    Raises:
        UsageError: if it cannot be loaded.
    """
    with _LOCK:
        return _open(config)


@lru_cache(maxsize=2)
def _open(config: EncoderConfig) -> FrozenEncoder:
    return open_clip4clip(config)
