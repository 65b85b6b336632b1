"""A long Ego4D video out of a short one: the same recording again and again, nothing encoded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

__all__ = ["lengthen"]


def lengthen(source: Path, dest: Path, *, times: int) -> None:
    """Write the one video of the synthetic dataset ``source`` ``times`` over to ``dest``.

    Picture, IMU rows and narrations are each shifted by whole lengths of the video.
    """
    metadata = json.loads((source / "ego4d.json").read_text())
    (video,) = metadata["videos"]
    uid, length_s = video["video_uid"], video["duration_sec"]
    video["duration_sec"] = length_s * times
    for folder in ("annotations", "imu", "video_540ss"):
        (dest / "v2_1" / folder).mkdir(parents=True)
    (dest / "ego4d.json").write_text(json.dumps(metadata))
    passes = json.loads((source / "v2_1/annotations/narration.json").read_text())[uid]
    longer = {name: {"narrations": list(_shift(passes[name], length_s, times))} for name in passes}
    (dest / "v2_1/annotations/narration.json").write_text(json.dumps({uid: longer}))
    imu, picture = f"v2_1/imu/{uid}.csv", f"v2_1/video_540ss/{uid}.mp4"
    with (dest / imu).open("w", encoding="utf-8") as file:
        header = (source / imu).read_text(encoding="utf-8").partition("\n")[0]
        file.write(header + "\n")
        for turn in range(times):
            file.writelines(_shift_rows(source / imu, turn * length_s * 1000))
    _repeat_packets(source / picture, dest / picture, times=times)


def _shift(content: dict[str, Any], length_s: float, times: int) -> Iterator[dict[str, Any]]:
    for turn in range(times):
        for entry in content["narrations"]:
            yield {**entry, "timestamp_sec": entry["timestamp_sec"] + turn * length_s}


def _shift_rows(path: Path, by_ms: float) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            cells = line.split(",")
            if cells[2]:
                cells[2] = f"{float(cells[2]) + by_ms:.4f}"
                yield ",".join(cells)


def _repeat_packets(source: Path, dest: Path, *, times: int) -> None:
    with av.open(str(dest), "w") as output:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                template = container.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(template)
                for packet in container.demux(template):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                    packet.stream = stream
                    output.mux(packet)
                assert template.duration is not None
                shift += template.duration
