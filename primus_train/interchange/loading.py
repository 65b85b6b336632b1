"""A pretrained encoder for a notebook: raw arrays in, embeddings out."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from primus_train.checkpoint import find_checkpoint
from primus_train.encoders.stacked_rnn import Representation, StackedRnn
from primus_train.interchange.safetensors_file import SUFFIX, read_safetensors
from primus_train.interchange.windows import Rate, cut_windows
from primus_train.representation import BLOCK, read_pretrained
from schemas.errors import UsageError

__all__ = ["WindowEncoder", "load_encoder", "pick_representation"]

_REPRESENTATIONS = ("multimodal", "unimodal", "backbone")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowEncoder:
    """An encoder that takes raw IMU arrays at any rate.

    Attributes:
        channels: what the rows of an array must be, in this order.
        units: of each of them; they are not converted.
        rate_hz: of the windows the encoder was trained on; arrays are resampled to it.
        samples: T of these windows.
        representation: which of the encoder's embeddings it gives.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate_hz: Fraction
    samples: int
    representation: Representation
    encoder: StackedRnn = field(repr=False)

    @property
    def length_s(self) -> float:
        """Length of a window in seconds."""
        return float(self.samples / self.rate_hz)

    def __call__(
        self, x: npt.ArrayLike, *, rate_hz: Rate, stride_s: float | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the embeddings of raw IMU signals.

        Args:
            x: (C, T) or (B, C, T); by default C is accelerometer xyz in m/s2, gravity included,
                then gyroscope xyz in rad/s (`channels` and `units` tell).
            rate_hz: of ``x``: a number, or a fraction such as "30000/1001".
            stride_s: cut a window every so many seconds from a longer recording; None wants
                signals of one window's length.

        Returns:
            (512,) or (B, 512); with ``stride_s`` (n, 512) or (B, n, 512) for the n windows of
            each recording, the k-th of which starts at k ``stride_s``, rounded to whole samples.
            Not normalised: cosine similarity is what the encoder was trained by.

        Raises:
            UsageError: if shape, values, rate or length are not so.
        """
        given = np.asarray(x)
        single = given.ndim == 2
        windows = cut_windows(
            given[None] if single else given,
            channels=len(self.channels),
            rate_hz=rate_hz,
            target=self.rate_hz,
            samples=self.samples,
            stride_s=stride_s,
        )
        count, each = windows.shape[:2]
        out = np.empty((count, each, self.width), np.float32)
        flat = out.reshape(-1, self.width)
        for start in range(0, len(flat), BLOCK):
            places = np.divmod(np.arange(start, min(start + BLOCK, len(flat))), each)
            flat[start : start + BLOCK] = self._embed(windows[places])
        found = out[:, 0] if stride_s is None else out
        return np.asarray(found[0] if single else found)

    @property
    def width(self) -> int:
        """Length of an embedding."""
        return int(self.encoder.mmcl_head.out_features)

    def _embed(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            embedded = self.encoder(torch.from_numpy(windows)).get(self.representation)
        return np.asarray(embedded.numpy())


def load_encoder(path: str | Path, *, representation: str | None = None) -> WindowEncoder:
    """Return the encoder of a run, ready for raw arrays, on the CPU.

    Args:
        path: a run's folder (its best checkpoint), a checkpoint file, or what
            ``primus-train export --format safetensors`` wrote.
        representation: ``multimodal``, ``unimodal`` or ``backbone``; None takes the one that the
            run is used by.

    Raises:
        StoreNotFoundError: if there is no such run.
        UsageError: if the representation is none of these.
    """
    place = Path(path)
    if place.suffix == SUFFIX:
        encoder, meta = read_safetensors(place)
        default = cast(Representation, meta["representation"])
    else:
        pretrained = read_pretrained(find_checkpoint(place))
        encoder, meta = pretrained.objective.encoder, pretrained.meta
        default = pretrained.objective.representation
    imu: dict[str, Any] = meta["imu"]
    return WindowEncoder(
        channels=tuple(imu["channels"]),
        units=tuple(imu["units"]),
        rate_hz=Fraction(imu["rate_hz"]),
        samples=int(imu["samples"]),
        representation=pick_representation(representation, default=default),
        encoder=encoder.eval().requires_grad_(requires_grad=False),
    )


def pick_representation(name: str | None, *, default: Representation) -> Representation:
    """Return the representation called ``name``; None and ``auto`` leave the run's own.

    Raises:
        UsageError: if there is none of that name.
    """
    if name is None or name == "auto":
        return default
    if name not in _REPRESENTATIONS:
        raise UsageError(
            f"representation must be auto or one of {', '.join(_REPRESENTATIONS)}, got {name!r}"
        )
    return cast(Representation, name)
