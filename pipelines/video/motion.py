"""How far the whole picture moved between two frames, by phase correlation on small grey copies."""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft, sparse

__all__ = ["GREY_HEIGHT", "GREY_WIDTH", "image_shifts", "small_grey"]

GREY_HEIGHT: Final = 90
GREY_WIDTH: Final = 160

# Rows and columns beyond this many a bin are stepped over: three samples a bin keep aliasing low.
_SAMPLES_A_BIN: Final = 3
# Width of the correlation peak, pixels of the small picture: a Gaussian, so that a parabola
# through the logarithms of three samples finds its top without bias.
_PEAK_SIGMA: Final = 1.0
_BLOCK: Final = 8


@cache
def _area_weights(size: int, bins: int) -> sparse.csr_array:
    """Return sparse (bins, size) weights whose rows average ``size`` samples over equal areas."""
    edges = np.arange(bins + 1) * (size / bins)
    samples = np.arange(size)
    low = np.maximum(edges[:-1, None], samples)
    high = np.minimum(edges[1:, None], samples + 1)
    weights = np.maximum(high - low, 0.0) * (bins / size)
    return sparse.csr_array(weights.astype(np.float32))


def small_grey(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return small grey copies of RGB frames, by averaging over equal areas of the whole picture.

    Grey is the green channel: most of the luma, and a third of the bytes.

    Args:
        frames: (n, H, W, 3) uint8 RGB, H >= 90 and W >= 160.

    Returns:
        (n, 90, 160) float32, 0 to 255.

    Raises:
        ValueError: if the frames have another shape or dtype, or are smaller.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            f"frames must be uint8 (n, H, W, 3), got {frames.dtype} {tuple(frames.shape)}"
        )
    height, width = frames.shape[1:3]
    if height < GREY_HEIGHT or width < GREY_WIDTH:
        raise ValueError(
            f"frames must be at least {GREY_HEIGHT} x {GREY_WIDTH}, got {height} x {width}"
        )
    row_step = max(1, height // (_SAMPLES_A_BIN * GREY_HEIGHT))
    column_step = max(1, width // (_SAMPLES_A_BIN * GREY_WIDTH))
    # Samples sit in the middle of their steps, so the picture's centre stays where it was.
    thinned = frames[:, row_step // 2 :: row_step, column_step // 2 :: column_step, 1]
    # Sparse products add in one order, whatever the number of threads; dense ones need not.
    rows = _area_weights(thinned.shape[1], GREY_HEIGHT)
    columns = _area_weights(thinned.shape[2], GREY_WIDTH)
    out = np.empty((len(frames), GREY_HEIGHT, GREY_WIDTH), dtype=np.float32)
    # The same memory for all frames, and every third byte gathered before it is made a float:
    # fresh memory and one step for both would cost as much as the averaging.
    green = np.empty(thinned.shape[1:], dtype=np.uint8)
    plane = np.empty(thinned.shape[1:], dtype=np.float32)
    for i, grey in enumerate(thinned):
        green[...] = grey
        plane[...] = green
        out[i] = (columns @ (rows @ plane).T).T
    return out


@cache
def _hann() -> npt.NDArray[np.float32]:
    vertical = np.hanning(GREY_HEIGHT + 2)[1:-1]
    horizontal = np.hanning(GREY_WIDTH + 2)[1:-1]
    return np.outer(vertical, horizontal).astype(np.float32)


@cache
def _spectral_weights() -> npt.NDArray[np.float32]:
    """Return (90, 81) Gaussian weights; a perfect match under them peaks at exactly 1."""
    vertical = np.fft.fftfreq(GREY_HEIGHT)[:, None]
    horizontal = np.fft.rfftfreq(GREY_WIDTH)[None, :]
    scale = -2.0 * (np.pi * _PEAK_SIGMA) ** 2
    weights = np.exp(scale * (vertical**2 + horizontal**2))
    full = np.exp(scale * (vertical**2 + np.fft.fftfreq(GREY_WIDTH)[None, :] ** 2))
    result: npt.NDArray[np.float32] = (weights * (full.size / full.sum())).astype(np.float32)
    return result


def _parabola_top(before: float, middle: float, after: float) -> float:
    """Return the offset, -0.5 to 0.5, of the top of a Gaussian through three samples."""
    if before <= 0 or after <= 0:
        return 0.0
    low, top, high = np.log(before), np.log(middle), np.log(after)
    bend = low - 2 * top + high
    return float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _peak(surface: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    """Return dx, dy (shares) and height of the correlation surface's peak."""
    row, column = divmod(int(np.argmax(surface)), GREY_WIDTH)
    height = float(surface[row, column])
    if height <= 0:
        return 0.0, 0.0, 0.0
    above, below = surface[row - 1, column], surface[(row + 1) % GREY_HEIGHT, column]
    left, right = surface[row, column - 1], surface[row, (column + 1) % GREY_WIDTH]
    dy = row + _parabola_top(float(above), height, float(below))
    dx = column + _parabola_top(float(left), height, float(right))
    if dy >= GREY_HEIGHT / 2:
        dy -= GREY_HEIGHT
    if dx >= GREY_WIDTH / 2:
        dx -= GREY_WIDTH
    return dx / GREY_WIDTH, dy / GREY_HEIGHT, min(height, 1.0)


def _spectra(greys: npt.NDArray[np.float32]) -> npt.NDArray[np.complex64]:
    centred = greys - greys.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    spectra: npt.NDArray[np.complex64] = fft.rfft2(centred * _hann())
    return spectra


def image_shifts(greys: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the picture's shift from each frame to the next.

    Phase correlation (Kuglin & Hines, 1975) under a Hann window, with a Gaussian weight on the
    spectrum; sub-pixel by a parabola through the peak's logarithms.

    Args:
        greys: (n, 90, 160) float32 of :func:`small_grey`.

    Returns:
        (n - 1, 3) float32: dx and dy, by which the content moved, as shares of width and height
        (right and down positive, -0.5 to 0.5); and the peak's height, 0 (nothing in common, or no
        texture) to 1 (an exact shift). Of fewer than two frames: (0, 3).

    Raises:
        ValueError: if the frames have another shape.
    """
    if greys.ndim != 3 or greys.shape[1:] != (GREY_HEIGHT, GREY_WIDTH):
        raise ValueError(
            f"greys must be (n, {GREY_HEIGHT}, {GREY_WIDTH}), got {tuple(greys.shape)}"
        )
    out = np.zeros((max(len(greys) - 1, 0), 3), dtype=np.float32)
    for start in range(0, len(out), _BLOCK):
        spectra = _spectra(greys[start : start + _BLOCK + 1].astype(np.float32, copy=False))
        cross = np.conj(spectra[:-1]) * spectra[1:]
        size = np.abs(cross)
        # Below this share of the strongest frequency, phase is rounding noise.
        floor = 1e-9 * size.max(axis=(1, 2), keepdims=True)
        keep = size > np.maximum(floor, np.float32(1e-12))
        # One real division a frequency, in place: a complex one takes twice as long.
        cross *= np.divide(np.float32(1), size, out=np.zeros_like(size), where=keep)
        cross *= _spectral_weights()
        shape = (GREY_HEIGHT, GREY_WIDTH)
        surfaces: npt.NDArray[np.float32] = fft.irfft2(cross, s=shape)
        for i, surface in enumerate(surfaces):
            out[start + i] = _peak(surface)
    return out
