"""How far one grey picture is shifted against another, by phase correlation."""

import numpy as np
import numpy.typing as npt


def measure_shift(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
) -> tuple[float, float]:
    """Return how far ``after`` moved against ``before``, x and y in px: a parabola at the peak."""
    window = np.hanning(before.shape[0])[:, None] * np.hanning(before.shape[1])
    one, two = (np.fft.fft2((f - f.mean()) * window) for f in (before.astype(float), after))
    cross = two * one.conj()
    surface = np.fft.ifft2(cross / (np.abs(cross) + 1e-6)).real
    peak = np.unravel_index(surface.argmax(), surface.shape)
    shift = []
    for axis in (1, 0):
        size = surface.shape[axis]
        line = np.moveaxis(surface, axis, 0)[:, peak[1 - axis]]
        low, mid, high = (line[(peak[axis] + d) % size] for d in (-1, 0, 1))
        at = peak[axis] + (low - high) / (2 * (low - 2 * mid + high))
        shift.append(float((at + size / 2) % size - size / 2))
    return shift[0], shift[1]
