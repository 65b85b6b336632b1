"""The encoder a config names, loaded once a process."""

from functools import lru_cache
from threading import Lock

from pipelines.config import EncoderConfig, PrepConfig
from pipelines.encoders.base import FramePooler, FrozenEncoder
from pipelines.encoders.clip4clip import open_clip4clip, read_pooler
from pipelines.encoders.clip_folder import find_files
from pipelines.encoders.seq_transf import SeqTransf
from schemas.errors import UsageError

__all__ = ["open_encoder", "open_pooler"]

_LOCK = Lock()


def open_encoder(config: EncoderConfig) -> FrozenEncoder | None:
    """Return the encoder of ``config``; equal configs share one, also between threads.

    None for the name ``none``: a store of IMU alone.

    Raises:
        UsageError: if it cannot be loaded.
    """
    if config.name == "none":
        return None
    with _LOCK:
        return _open(config)


def open_pooler(config: PrepConfig) -> FramePooler | None:
    """Return what makes one embedding of a segment's frames; None for their mean.

    Raises:
        UsageError: if the encoder has no weights for it, or a segment has more frames than it
            takes.
    """
    encoder = config.encoder
    if encoder.pooling == "mean":
        return None
    if encoder.name == "none":
        raise UsageError(f"encoder.pooling {encoder.pooling} needs an encoder, got none")
    with _LOCK:
        pooler = _open_pooler(encoder)
    frames = -(-config.segments.length_ns // config.video.step_ns)
    if frames > pooler.positions:
        raise UsageError(
            f"encoder.pooling {encoder.pooling} takes at most {pooler.positions} frames a segment, "
            f"got {frames} (segments.length_ms over video.step_ms)"
        )
    return pooler


@lru_cache(maxsize=2)
def _open(config: EncoderConfig) -> FrozenEncoder:
    return open_clip4clip(config)


@lru_cache(maxsize=2)
def _open_pooler(config: EncoderConfig) -> SeqTransf:
    pooler = read_pooler(find_files(config), pooling=config.pooling)
    if pooler is None:
        raise ValueError(f"pooling {config.pooling} has no weights")
    return pooler
