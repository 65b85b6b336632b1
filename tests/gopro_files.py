"""Small GoPro clips with a metadata track, written record by record, and what is true of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from pipelines.synthetic.gpmf_writer import nest, sensor_stream, text
from tests.video_files import make_frames

ACCL_SCALE = 417
GYRO_SCALE = 939


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """How a sensor samples: number n at ``first_s + n / rate_hz`` on the picture's clock."""

    rate_hz: float
    first_s: float = 0.0

    def times(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return self.first_s + numbers / self.rate_hz


def accel_at(t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return true accelerations, m/s2, axes X, Y, Z: gravity up and a sway."""
    sway = np.sin(2 * np.pi * 0.7 * t_s)
    return np.column_stack([sway, 0.5 * sway, 9.81 + 0 * t_s])


def gyro_at(t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return true angular rates, rad/s, axes X, Y, Z."""
    turn = np.cos(2 * np.pi * 0.4 * t_s)
    return np.column_stack([0.2 * turn, -0.3 * turn, turn])


def make_payloads(
    *,
    seconds: int,
    start_s: float = 0.0,
    accel: Sensor,
    gyro: Sensor,
    late_s: Sequence[float] = (0.0,),
    camera_zero_us: int | None = None,
    device: str = "HERO9 Black",
    orin: str = "XYZ",
) -> list[bytes]:
    """Return one payload a second of a recording, from ``start_s`` of it on.

    Args:
        seconds: payloads.
        start_s: of the first, in the recording; samples count from there.
        accel: how the accelerometer samples.
        gyro: how the gyroscope samples.
        late_s: by how much each payload begins after its second, taken in turn.
        camera_zero_us: adds ``STMP``, which say this where the recording is at zero.
        device: name of the camera.
        orin: axes of the columns, X, Y and Z in some order and sign.
    """
    columns = ["XYZ".index(letter.upper()) for letter in orin]
    signs = np.array([1.0 if letter.isupper() else -1.0 for letter in orin])
    cuts = [start_s + i + late_s[i % len(late_s)] for i in range(seconds)]
    cuts[0], end_s = start_s, start_s + seconds
    payloads = []
    for begin, end in zip(cuts, [*cuts[1:], end_s], strict=True):
        streams = []
        for key, sensor, truth, scale in (
            ("ACCL", accel, accel_at, ACCL_SCALE),
            ("GYRO", gyro, gyro_at, GYRO_SCALE),
        ):
            edges = [
                max(int(np.ceil(round((t - sensor.first_s) * sensor.rate_hz, 6))), 0)
                for t in (start_s, begin, end)
            ]
            numbers = np.arange(edges[1], edges[2], dtype=np.int64)
            t_s = sensor.times(numbers)
            stamp = None if camera_zero_us is None else camera_zero_us + round(t_s[0] * 1e6)
            streams.append(
                sensor_stream(
                    key,
                    truth(t_s)[:, columns] * signs,
                    total=edges[2] - edges[0],
                    scale=scale,
                    stamp_us=stamp,
                    extra=text("ORIN", orin),
                )
            )
        payloads.append(nest("DEVC", text("DVNM", device), *streams))
    return payloads


def write_clip(
    path: Path,
    payloads: Sequence[bytes],
    *,
    frames: int,
    rate: Fraction = Fraction(30),
    seed: int = 0,
    pts_ms: Sequence[int] | None = None,
) -> Path:
    """Write a picture and a metadata track of one payload a second, or at ``pts_ms``."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate)
        video.pix_fmt, video.height, video.width = "yuv420p", 96, 160
        video.options = {"preset": "veryfast", "crf": "30", "bf": "2", "threads": "1"}
        track = container.add_data_stream("bin_data")
        track.time_base = Fraction(1, 1000)
        for rgb in make_frames(frames, seed=seed):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for i, payload in enumerate(payloads):
            packet = av.Packet(payload)
            packet.stream, packet.time_base = track, Fraction(1, 1000)
            packet.pts = packet.dts = 1000 * i if pts_ms is None else pts_ms[i]
            packet.duration, packet.is_keyframe = 1000, True
            container.mux(packet)
    return path
