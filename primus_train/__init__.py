"""Pretrain IMU encoders from published stores, and probe them; knows stores, never datasets."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from primus_train.interchange.loading import WindowEncoder

__all__ = ["load_encoder"]


def load_encoder(path: "str | Path", *, representation: str | None = None) -> "WindowEncoder":
    """Return the encoder of a run, ready for raw IMU arrays at any rate.

    ``z = load_encoder("runs/primus")(x, rate_hz=100)`` gives (512,) for ``x`` (6, T) and (B, 512)
    for (B, 6, T): accelerometer xyz in m/s2, gravity included, then gyroscope xyz in rad/s.

    Args:
        path: a run's folder, a checkpoint file, or an exported .safetensors file.
        representation: ``multimodal``, ``unimodal`` or ``backbone``; None takes the one that the
            run is used by.

    Raises:
        StoreNotFoundError: if there is no such run.
        UsageError: if the representation is none of these.
    """
    # Here, so that the package itself stays light: its programs load no torch to print their help.
    from primus_train.interchange import loading

    return loading.load_encoder(path, representation=representation)
