"""Which way a GoPro's accelerometer and gyroscope columns point.

Device frame: the axes that GoPro's own files call X, Y and Z, right-handed. With the camera
upright, Z points up, X along the picture's width and Y along the optical axis; measured on a HERO5
clip, a positive turn about Z moves the picture right, and a positive turn about X moves it up.
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.imu.gpmf_klv import GpmfError, GpmfStream

__all__ = ["axes_of", "axes_rotation", "stream_rotation"]

# HERO5 writes its order into the streams' names; HERO6 and Fusion write nothing at all ("GPMF
# Introduction", GoPro, table of sensors by camera); later cameras, MAX among them, write ORIN.
_NAMED_ORDER: Final = re.compile(r"\(z,x,y\)|\(up/down, right/left, forward/back\)", re.IGNORECASE)
# How far a matrix may be off a plain change of order: 10 degrees.
_SLACK: Final = 0.18
_HERO: Final = re.compile(r"hero\s*(\d+)", re.IGNORECASE)


def axes_of(stream: GpmfStream, *, model: str = "") -> str | None:
    """Return which axis each column of a stream's samples is: ``ZXY``, ``YxZ``; lower case negated.

    By the stream's ``ORIN``, else by its name (HERO5), else by the camera's name; None if none
    of them tells.

    Args:
        stream: of a sensor.
        model: the camera by the file's header, for a stream whose device has no telling name.
    """
    if "ORIN" in stream.records:
        return stream.records["ORIN"].text()
    if "STNM" in stream.records and _NAMED_ORDER.search(stream.records["STNM"].text()):
        return "ZXY"
    for name in (stream.device, model):
        hero = _HERO.search(name)
        if hero is not None and int(hero[1]) >= 5:
            return "YxZ" if int(hero[1]) >= 6 else "ZXY"
        if "fusion" in name.lower():
            return "yXZ"
    return None


def stream_rotation(stream: GpmfStream, axes: str) -> npt.NDArray[np.float64]:
    """Return the rotation (3, 3) that takes a stream's columns, ordered ``axes``, to X, Y, Z.

    Where the camera gives the matrix (``MTRX``) that turns its columns (``ORIN``) into the order
    ``ORIO``, the matrix counts: it may carry how the sensor really sits.

    Raises:
        GpmfError: as ``axes_rotation``, or if the matrix contradicts the two orders.
    """
    rotation = axes_rotation(axes)
    if not {"ORIN", "ORIO", "MTRX"} <= set(stream.records):
        return rotation
    matrix, order = stream.records["MTRX"].numbers(), stream.records["ORIO"].text()
    if matrix.size != 9:
        raise GpmfError(f"MTRX must be 9 numbers, got {matrix.size}")
    turned = axes_rotation(order) @ matrix.reshape(3, 3)
    if not np.abs(turned - rotation).max() <= _SLACK:
        raise GpmfError(
            f"MTRX must turn {axes} into {order} within {_SLACK}, got {matrix.reshape(-1)}"
        )
    return turned


def axes_rotation(axes: str) -> npt.NDArray[np.float64]:
    """Return the rotation (3, 3) that takes a sample's columns, ordered ``axes``, to X, Y, Z.

    Raises:
        GpmfError: if the letters are not X, Y and Z, or make a left-handed frame.
    """
    if sorted(axes.upper()) != ["X", "Y", "Z"]:
        raise GpmfError(f"axis order must be X, Y and Z in some order and sign, got {axes!r}")
    rotation = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        rotation["XYZ".index(letter.upper()), column] = 1.0 if letter.isupper() else -1.0
    if np.linalg.det(rotation) < 0:
        raise GpmfError(f"axis order must be right-handed, got {axes!r}")
    return rotation
