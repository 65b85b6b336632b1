"""The metadata track of a synthetic GoPro clip, payload by payload."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.gopro_truth import PAYLOAD_NS, ClipTruth, GoProTake, gopro_signal
from pipelines.synthetic.gpmf_writer import nest, sensor_stream, text
from pipelines.synthetic.truth import ImuStreamTruth, drop_gap, imu_sample_ns
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = ["make_payloads"]

# By the sensor's key: its columns of the signal, steps a unit (as HERO6 and later), noise, unit.
_SENSORS: Final = {
    "ACCL": (slice(0, 3), 417, 0.06, "m/s\xb2"),
    "GYRO": (slice(3, 6), 939, 0.006, "rad/s"),
}
# A payload is written up to this much off its even place.
_JITTER_MS: Final = 1
_JUMP_NS: Final = 600 * NS_PER_MS


def make_payloads(take: GoProTake, clip: ClipTruth) -> Iterator[tuple[int, bytes]]:
    """Yield a clip's payloads in order, each with its time by the clip's own clock in ms.

    A payload a 1001 ms holds the samples from its start on; the last one ends with the clip.
    ``TSMP`` counts from the clip's first sample; ``STMP`` goes on over chapters.
    """
    rng = np.random.default_rng([take.seed, 43, clip.first_frame])
    # By take time, late stamps and all: where the clip's own clock stands at zero.
    zero_ns = clip.start_ns - take.picture_start_ns - take.late_ns
    end_ns = clip.end_ns - take.late_ns
    count = -(-(end_ns - zero_ns) // PAYLOAD_NS)
    firsts = {stream.label: _number(stream, zero_ns) for stream in (take.accel, take.gyro)}
    for payload in range(count):
        begin_ns = zero_ns + payload * PAYLOAD_NS
        until_ns = min(begin_ns + PAYLOAD_NS, end_ns)
        jump_ns = _JUMP_NS if take.fault == "imu_clock_jump" and payload >= count // 2 else 0
        streams = [
            _make_stream(
                take,
                stream,
                begin_ns=begin_ns,
                until_ns=until_ns,
                first=firsts[stream.label],
                late_ns=take.late_ns + jump_ns,
                # A count that falls cannot be.
                lost=PAYLOAD_NS * 2 * int(stream.rate_hz) // NS_PER_S
                if take.fault == "imu_backward" and payload == count // 2
                else 0,
                rng=rng,
            )
            for stream in (take.accel, take.gyro)
            if not (take.fault == "gyro_missing" and stream.label == "GYRO")
        ]
        jitter_ms = int(rng.integers(-_JITTER_MS, _JITTER_MS + 1)) if payload else 0
        if any(streams):
            pts_ms = (payload * PAYLOAD_NS + jump_ns) // NS_PER_MS + jitter_ms
            yield pts_ms, nest("DEVC", text("DVNM", take.camera), *streams)


def _make_stream(
    take: GoProTake,
    stream: ImuStreamTruth,
    *,
    begin_ns: int,
    until_ns: int,
    first: int,
    late_ns: int,
    lost: int,
    rng: np.random.Generator,
) -> bytes:
    """Return a sensor's samples in ``[begin_ns, until_ns)`` of take time; nothing without any."""
    number, end = _number(stream, begin_ns), _number(stream, until_ns)
    t_ns = drop_gap(imu_sample_ns(stream, first=number, count=end - number), take.gap_ns)
    if not len(t_ns):
        return b""
    columns, scale, noise, unit = _SENSORS[stream.label]
    values = gopro_signal(take, t_ns)[:, columns]
    values = values + rng.normal(0, noise, values.shape) * take.participant.noise
    stamp_us = None
    if take.clock_us is not None:
        stamp_us = take.clock_us + (int(t_ns[0]) + late_ns) // 1000
    return sensor_stream(
        stream.label,
        _to_file(values, axes=take.axes),
        total=number + len(t_ns) - first - lost,
        scale=scale,
        stamp_us=stamp_us,
        extra=text("SIUN", unit) + (text("ORIN", take.axes) if take.writes_axes else b""),
    )


def _number(stream: ImuStreamTruth, t_ns: int) -> int:
    """Return the number of the first sample at or after ``t_ns``, at most how many there are."""
    number = -int((stream.first_ns - t_ns) * stream.rate_hz // NS_PER_S)
    return min(max(number, 0), stream.samples)


def _to_file(values: npt.NDArray[np.float64], *, axes: str) -> npt.NDArray[np.float64]:
    """Return samples (n, 3) with their columns ordered ``axes``, those in lower case negated."""
    signs = np.array([1.0 if letter.isupper() else -1.0 for letter in axes])
    columns: npt.NDArray[np.float64] = values[:, ["XYZ".index(a) for a in axes.upper()]] * signs
    return columns
