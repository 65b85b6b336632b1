"""GoPro's metadata records (GPMF), written: the other way round of ``pipelines.imu.gpmf_klv``.

The layout is that of GoPro's "GPMF Introduction": big-endian, a four-character key, a type
character, the size of one structure, their number, then the data padded to four bytes.
"""

import struct

import numpy as np
import numpy.typing as npt

__all__ = ["klv", "nest", "sensor_stream", "text"]

_LONGEST = (1 << 16) - 1


def klv(key: str, kind: str, size: int, repeat: int, data: bytes) -> bytes:
    """Return one record: ``repeat`` structures of ``size`` bytes; an empty ``kind`` nests."""
    head = key.encode() + (kind or "\0").encode() + struct.pack(">BH", size, repeat)
    return head + data + b"\0" * (-len(data) % 4)


def nest(key: str, *children: bytes) -> bytes:
    """Return a record that holds others; longer than 64 KiB in structures of four bytes."""
    data = b"".join(children)
    size = 1 if len(data) <= _LONGEST else 4
    return klv(key, "", size, len(data) // size, data)


def text(key: str, value: str) -> bytes:
    """Return a record of letters."""
    data = value.encode("latin-1")
    return klv(key, "c", 1, len(data), data)


def sensor_stream(
    key: str,
    values: npt.NDArray[np.float64],
    *,
    total: int,
    scale: int,
    stamp_us: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """Return a ``STRM`` of one sensor's samples in one payload.

    Args:
        key: ``ACCL`` or ``GYRO``.
        values: (n, 3), in m/s2 or rad/s, columns in file order already.
        total: samples up to the last of these (``TSMP``).
        scale: steps a unit (``SCAL``); values beyond 16 bits are clipped.
        stamp_us: time of the first sample on the camera's clock (``STMP``), if it writes one.
        extra: further records, such as ``ORIN``.
    """
    raw = np.rint(values * scale).clip(-32768, 32767).astype(">i2")
    stamp = b"" if stamp_us is None else klv("STMP", "J", 8, 1, struct.pack(">Q", stamp_us))
    return nest(
        "STRM",
        stamp,
        klv("TSMP", "L", 4, 1, struct.pack(">I", total)),
        extra,
        klv("SCAL", "s", 2, 1, struct.pack(">h", scale)),
        klv(key, "s", 6, len(values), raw.tobytes()),
    )
