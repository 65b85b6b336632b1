"""What a synthetic camera sees: one picture of a large painted world, as the head is turned."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft

from pipelines.synthetic.timecode import draw_timecode, timecode_box
from pipelines.synthetic.truth import FOCAL_PX_448

__all__ = ["WORLD_PX", "World", "make_world", "render_frame"]

WORLD_PX: Final = 1024
"""The world repeats after this many px of the 448-px picture; it is painted at twice that."""

_SCALE: Final = 2
_REFERENCE_PX: Final = 448
_OBJECTS: Final = 48
Plane = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]


class World:
    """The planes of one sub-action's surroundings, periodic, padded so that no view wraps.

    Attributes:
        luma: (S, S) uint8, at twice the 448-px picture's scale.
        blue: (S/2, S/2) uint8 colour difference.
        red: (S/2, S/2) uint8 colour difference.
    """

    def __init__(self, *, luma: Plane, blue: Plane, red: Plane) -> None:
        pad = _SCALE * (_REFERENCE_PX + 160)
        self.luma = np.pad(luma, (0, pad), mode="wrap")
        self.blue = np.pad(blue, (0, pad // 2), mode="wrap")
        self.red = np.pad(red, (0, pad // 2), mode="wrap")


def make_world(
    activity: int, *, sub_action: int, brightness: float = 0.0, hue_rad: float = 0.0
) -> World:
    """Return the world of a sub-action: the activity's ground, and the sub-action's own things.

    All sub-actions of an activity share its ground, so that a switch changes what lies about and
    its colours but not the ground under it.
    """
    ground, hue_field = _ground(activity)
    things, mask = _things(activity, sub_action)
    luma = np.where(mask, 0.35 * ground + things, ground)
    luma += np.float32(brightness + 26 * (sub_action - 1.5))
    # Colours have half the resolution, as in the video's 4:2:0.
    mask, slow = mask[::2, ::2], hue_field[::2, ::2]
    hue = slow * np.float32(0.3) + np.float32(activity * np.pi / 4 + hue_rad)
    hue += 0.5 * (sub_action - 1.5) + mask * np.float32(1.6 + 0.9 * sub_action)
    saturation = np.where(mask, np.float32(62), np.float32(34))
    return World(
        luma=np.clip(luma, 24, 228).astype(np.uint8),
        blue=(128 + saturation * np.cos(hue)).astype(np.uint8),
        red=(128 + saturation * np.sin(hue)).astype(np.uint8),
    )


def render_frame(
    world: World,
    *,
    angles: npt.NDArray[np.float64],
    centre_px: tuple[float, float],
    size_px: int,
    index: int,
) -> Plane:
    """Return one frame as stacked YUV 4:2:0 planes, (3/2 size, size) uint8, with its time code.

    Args:
        world: what surrounds the wearer.
        angles: yaw, pitch, roll in rad (3,).
        centre_px: world point (x, y), in px of the 448-px picture, seen at angles zero.
        size_px: side of the picture, even and a multiple of 4.
        index: number of the frame, drawn as its time code.
    """
    yaw, pitch, roll = angles.tolist()
    centre = (centre_px[0] + FOCAL_PX_448 * yaw, centre_px[1] + FOCAL_PX_448 * pitch)
    frame = np.empty((size_px * 3 // 2, size_px), dtype=np.uint8)
    luma = frame[:size_px]
    colour = frame[size_px:].reshape(2, size_px // 2, size_px // 2)
    unit = _SCALE * _REFERENCE_PX / size_px
    _sample(world.luma, centre=centre, roll=roll, scale=_SCALE, unit=unit, out=luma)
    for plane, out in zip((world.blue, world.red), colour, strict=True):
        _sample(plane, centre=centre, roll=roll, scale=_SCALE / 2, unit=unit, out=out)
    height, width = timecode_box(size_px)
    colour[:, : height // 2 + 1, : width // 2 + 1] = 128
    draw_timecode(luma, index)
    return frame


def _sample(
    plane: Plane,
    *,
    centre: tuple[float, float],
    roll: float,
    scale: float,
    unit: float,
    out: Plane,
) -> None:
    # The nearest world pixel; the turn by a small roll is two integer shears, so the address of
    # each pixel is a sum of one term for its row and one for its column.
    size = len(out)
    reach = (np.arange(size) - (size - 1) / 2) * unit
    period = round(WORLD_PX * scale)
    # Anchored at the view's top left corner, wrapped so that the padded plane holds all of it.
    half = _REFERENCE_PX / 2 * scale
    margin = 80 * scale
    left = (centre[0] * scale - half - margin) % period + half + margin
    top = (centre[1] * scale - half - margin) % period + half + margin
    width = plane.shape[1]
    rows = np.rint(top - 0.5 + reach).astype(np.intp) * width
    rows -= np.rint(roll * reach).astype(np.intp)
    columns = np.rint(left - 0.5 + reach).astype(np.intp)
    columns += np.rint(roll * reach).astype(np.intp) * width
    np.take(plane.reshape(-1), rows[:, None] + columns[None, :], out=out, mode="wrap")


@lru_cache(maxsize=8)
def _ground(activity: int) -> tuple[Field, Field]:
    """Return the ground's luma and a slow field for its hue, both (S, S)."""
    rng = np.random.default_rng([activity, 7])
    size = WORLD_PX * _SCALE
    along: Field = np.arange(size, dtype=np.float32) / np.float32(_SCALE)
    y, x = along[:, None], along[None, :]
    clouds = _noise(rng, low_px=180, high_px=700)
    grain = _noise(rng, low_px=7, high_px=60)
    luma = 122 + 26 * clouds + 20 * grain + 22 * _pattern(activity, x=x, y=y, bend=clouds)
    return luma.astype(np.float32), _noise(rng, low_px=250, high_px=900)


def _pattern(activity: int, *, x: Field, y: Field, bend: Field) -> Field:
    # Frequencies divide the world's width, so the pattern repeats with it.
    w = np.float32(2 * np.pi / WORLD_PX)
    waves: dict[int, Callable[[], Field]] = {
        0: lambda: np.sign(np.sin(24 * w * x)) * np.sign(np.sin(24 * w * y)),
        1: lambda: np.sin(20 * w * x + 3 * np.sin(6 * w * y)),
        2: lambda: np.sin(5 * w * x + 2 * bend) * np.sin(6 * w * y - 2 * bend),
        3: lambda: np.sign(np.sin(10 * w * y + bend)),
        4: lambda: np.maximum(np.cos(14 * w * x), np.cos(14 * w * y)),
        5: lambda: np.sin(30 * w * y + 5 * np.sin(4 * w * x) + 2 * bend),
        6: lambda: np.sin(16 * w * (x + y) + bend),
        7: lambda: np.sign(np.sin(44 * w * x)) * (0.6 + 0.4 * np.sin(3 * w * y)),
    }
    return waves[activity]().astype(np.float32)


@lru_cache(maxsize=32)
def _things(activity: int, sub_action: int) -> tuple[Field, npt.NDArray[np.bool_]]:
    """Return luma and place of the sub-action's things: one shape, strewn over the world."""
    rng = np.random.default_rng([activity, sub_action, 8])
    size = WORLD_PX * _SCALE
    luma = np.zeros((size, size), dtype=np.float32)
    mask = np.zeros((size, size), dtype=np.bool_)
    shape = (activity + 3 * sub_action) % 6
    for _ in range(_OBJECTS):
        radius = int(rng.uniform(28, 60) * _SCALE)
        v, u = np.ogrid[-1 : 1 : 2j * radius, -1 : 1 : 2j * radius]
        inside = _shape(shape, u=u, v=v)
        rows = (int(rng.integers(size)) + np.arange(2 * radius)) % size
        columns = (int(rng.integers(size)) + np.arange(2 * radius)) % size
        at = np.ix_(rows, columns)
        stripes = 30 * np.sign(np.sin((3 + 2 * sub_action) * (u + v) * np.pi / 2))
        tone = float(rng.uniform(40, 130))
        luma[at] = np.where(inside, tone + stripes, luma[at])
        mask[at] |= inside
    return luma, mask


def _shape(kind: int, *, u: Field, v: Field) -> npt.NDArray[np.bool_]:
    r = np.hypot(u, v)
    shapes: tuple[npt.NDArray[np.bool_], ...] = (
        r < 0.95,
        np.maximum(abs(u), abs(v)) < 0.75,
        (r < 0.95) & (r > 0.55),
        (v > 2 * abs(u) - 0.9) & (v < 0.9),
        (abs(u) < 0.3) | (abs(v) < 0.3),
        abs(u) + abs(v) < 0.95,
    )
    return shapes[kind] & (r < 1)


def _noise(rng: np.random.Generator, *, low_px: float, high_px: float) -> Field:
    # Periodic noise with wavelengths in [low_px, high_px] of the 448-px picture, 1/f, unit spread.
    f = np.hypot(np.fft.fftfreq(WORLD_PX)[:, None], np.fft.rfftfreq(WORLD_PX)[None])
    keep = (f <= 1 / low_px) & (f >= 1 / high_px)
    white = rng.standard_normal((WORLD_PX, WORLD_PX), dtype=np.float32)
    spectrum = fft.rfft2(white) * np.where(keep, 1 / np.maximum(f, 1 / high_px), 0)
    # Zeros above the old band interpolate exactly to twice the size.
    half = WORLD_PX // 2
    wide = np.zeros((_SCALE * WORLD_PX, WORLD_PX + 1), dtype=np.complex64)
    wide[:half, : half + 1] = spectrum[:half]
    wide[-half:, : half + 1] = spectrum[half:]
    field: Field = fft.irfft2(wide)
    field /= field.std()
    return field
