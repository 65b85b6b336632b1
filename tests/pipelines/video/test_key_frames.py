from pathlib import Path
from typing import Any

import av
import pytest

from pipelines.video.key_frames import KeyFrameTest
from pipelines.video.packet_times import read_packet_times
from tests.video_files import make_frames, write_video


def x264(params: str) -> dict[str, Any]:
    options = {"preset": "veryfast", "bf": "2", "threads": "1", "x264-params": params}
    return {"codec": "libx264", "options": options}


def x265(params: str) -> dict[str, Any]:
    quiet = "log-level=none:pools=1:frame-threads=1:scenecut=0:"
    return {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": quiet + params}}


CASES = [
    pytest.param(x264("scenecut=0"), 4, id="idr"),
    pytest.param(x264("scenecut=0:slices=3"), 4, id="slices"),
    # The container calls four pictures key frames, the codec one.
    pytest.param(x264("scenecut=0:open-gop=1"), 1, id="open_groups"),
    pytest.param(x265("open-gop=0:bframes=2"), 4, id="hevc_idr"),
    # Clean random access: what is shown after such a picture leans on nothing before it.
    pytest.param(x265("open-gop=1:bframes=2"), 4, id="hevc_cra"),
]


@pytest.mark.parametrize(("how", "expected"), CASES)
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_key_frames_that_begin_anew(
    tmp_path: Path, how: dict[str, Any], expected: int, suffix: str
) -> None:
    path = write_video(tmp_path / "v.mp4", make_frames(40), gop=10, **how)
    if suffix == "ts":
        path = copy_packets(path, to=path.with_suffix(".ts"))
    times = read_packet_times(path)
    assert len(times.key_places) == expected
    # Units stand behind their lengths in mp4 and behind start codes in a transport stream.
    with av.open(str(path)) as container:
        stream_read = container.streams.video[0]
        may_begin = KeyFrameTest(stream_read)
        packets = [p for p in container.demux(stream_read) if p.size]
        found = [i for i, p in enumerate(packets) if may_begin(p)]
    # Asked of every packet, whatever the container says of it.
    assert found == times.key_places.tolist()
    assert [packets[i].pts for i in times.key_places] == times.key_pts.tolist()


def copy_packets(source: Path, *, to: Path) -> Path:
    with av.open(str(source)) as file, av.open(str(to), "w") as copy:
        stream = copy.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    return to


def test_av1_key_frames_are_those_of_the_container(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mp4", make_frames(40), gop=10, codec="libsvtav1", options={"preset": "12"}
    )
    times = read_packet_times(path)
    assert times.pts[::10].tolist() == times.key_pts.tolist()


def test_key_frames_of_other_codecs_are_not_trusted(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mp4", make_frames(20), gop=5, codec="mpeg4", options={"g": "5"}
    )
    times = read_packet_times(path)
    assert len(times.key_places) == 0
    assert not times.in_order


@pytest.mark.parametrize(
    ("params", "bf", "expected"),
    [("scenecut=0", "0", True), ("scenecut=0", "2", False), ("intra-refresh=1", "0", False)],
)
def test_files_in_order_have_plain_key_frames_and_no_b_frames(
    tmp_path: Path, params: str, bf: str, expected: bool
) -> None:
    options = {"preset": "veryfast", "bf": bf, "threads": "1", "x264-params": params}
    path = write_video(tmp_path / "v.mp4", make_frames(40), gop=10, options=options)
    assert read_packet_times(path).in_order is expected
