import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video.decode import open_video
from pipelines.video.picture_stream import open_picture, read_frame_index, varies
from pipelines.video.probe import probe_video
from schemas.errors import TakeError
from tests.video_files import make_frames, write_sound, write_video

UNEVEN = [0, 3000, 5000, 14_000, 17_000, 20_000, 29_000]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, B-frames, a key frame every 8: some groups lie wholly before an edit."""
    return write_video(tmp_path_factory.mktemp("video") / "b.mp4", make_frames(60), gop=8)


def with_edit(path: Path, folder: Path, *, skip: int, keep: int) -> Path:
    """A copy whose edit list shows ``keep`` frames after the first ``skip``; 512 ticks a frame."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    assert data[at : at + 8] == bytes(4) + (1).to_bytes(4, "big")
    delay = int.from_bytes(data[at + 12 : at + 16], "big")
    data[at + 8 : at + 12] = (keep * 1000 // 30).to_bytes(4, "big")
    data[at + 12 : at + 16] = (delay + skip * 512).to_bytes(4, "big")
    edited = folder / "edited.mp4"
    edited.write_bytes(data)
    return edited


def index_of(path: Path) -> tuple[int, int] | None:
    with open_picture(path) as (container, stream):
        index = read_frame_index(container, stream, path=path)
    return None if index is None else (index.stored, index.shown)


def all_frames(path: Path) -> npt.NDArray[np.uint8]:
    reader = open_video(path, decoder="auto")
    return np.concatenate(list(reader.read(np.arange(len(reader)))))


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001)])
def test_steady_rate_does_not_vary(tmp_path: Path, rate: Fraction) -> None:
    for codec, options in (("libx264", None), ("libsvtav1", {"preset": "12"})):
        path = write_video(
            tmp_path / f"{codec}.mp4", make_frames(20), rate=rate, codec=codec, options=options
        )
        probe = probe_video(path)
        assert (probe.rate, probe.rate_varies) == (rate, False)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_uneven_times_vary_with_and_without_a_whole_index(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"v.{suffix}", make_frames(7), pts=UNEVEN)
    assert (index_of(path) is None) == (suffix == "mkv")
    assert probe_video(path).rate_varies
    steady = write_video(tmp_path / f"s.{suffix}", make_frames(7), rate=Fraction(30))
    assert not probe_video(steady).rate_varies


def test_one_frame_left_out_varies(tmp_path: Path) -> None:
    pts = [3000 * i for i in range(60) if i != 40]
    assert probe_video(write_video(tmp_path / "v.mp4", make_frames(59), pts=pts)).rate_varies


@pytest.mark.parametrize(
    ("shortest", "longest", "expected"),
    [(0, 0, False), (33, 34, False), (33, 35, False), (33, 36, True),
     (1000, 1050, False), (1000, 1051, True), (-5, 1000, True)],
)  # fmt: skip
def test_what_counts_as_varying(shortest: int, longest: int, expected: bool) -> None:
    assert varies(shortest, longest) is expected


def test_real_clip_is_steady_and_whole(shared_data: Path) -> None:
    clip = shared_data / "gopro_karma.mp4"
    assert index_of(clip) == (362, 362)
    assert not probe_video(clip).rate_varies


@pytest.mark.parametrize(("skip", "keep"), [(0, 60), (3, 50), (8, 40), (21, 39)])
def test_frames_that_an_edit_list_leaves_out_are_not_shown(
    video: Path, tmp_path: Path, skip: int, keep: int
) -> None:
    edited = with_edit(video, tmp_path, skip=skip, keep=keep)
    shown = slice(skip, skip + keep)
    with av.open(str(edited)) as container:
        oracle = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(oracle) == keep
    np.testing.assert_array_equal(all_frames(edited), np.stack(oracle))
    np.testing.assert_array_equal(all_frames(edited), all_frames(video)[shown])
    probe, reader = probe_video(edited), open_video(edited, decoder="auto")
    assert probe.num_frames_from_header == len(reader) == keep
    assert not probe.rate_varies
    assert probe.duration_ns == pytest.approx(keep / 30 * 1e9, abs=1e6)
    steps = reader.pts_ns - np.rint(np.arange(keep) * 1e9 / 30)
    assert np.abs(steps).max() <= 1


def test_video_that_starts_late_keeps_its_first_time_apart(tmp_path: Path) -> None:
    pts = [90_000 + 3000 * i for i in range(10)]
    path = write_video(tmp_path / "late.mp4", make_frames(10), pts=pts)
    probe = probe_video(path)
    # To a tick of the container's edit list, which counts ms.
    assert probe.first_pts_ns == pytest.approx(1_000_000_000, abs=1e6)
    assert open_video(path, decoder="auto").pts_ns.tolist() == [
        round(i * 1e9 / 30) for i in range(10)
    ]


def test_cover_picture_beside_sound_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48_000)
        cover = container.add_stream("mjpeg")
        cover.height, cover.width, cover.pix_fmt = 96, 160, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(cover.encode(av.VideoFrame.from_ndarray(next(make_frames(1)))))
        container.mux(cover.encode(None))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    for read in (probe_video, lambda p: open_video(p, decoder="auto")):
        with pytest.raises(TakeError, match=r"video_stream_missing: .*cover\.mp4"):
            read(path)


def unknown_codec(video: Path, folder: Path) -> Path:
    path = folder / "unknown.mp4"
    path.write_bytes(video.read_bytes().replace(b"avc1", b"zzzz"))
    return path


def cut_off(video: Path, folder: Path) -> Path:
    path = folder / "cut.mp4"
    path.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    return path


def empty(video: Path, folder: Path) -> Path:
    del video
    (folder / "empty.mp4").write_bytes(b"")
    return folder / "empty.mp4"


def sound_alone(video: Path, folder: Path) -> Path:
    del video
    return write_sound(folder / "sound.mp4")


def index_last(video: Path, folder: Path) -> Path:
    """Cut off with its index at the end, as a camera writes it: no index is left."""
    path = folder / "index_last.mp4"
    with av.open(str(video)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    return path


FAULTS = [
    pytest.param(unknown_codec, "video_undecodable", id="unknown_codec"),
    pytest.param(cut_off, "video_unreadable", id="cut_off"),
    pytest.param(index_last, "video_unreadable", id="index_last"),
    pytest.param(empty, "video_unreadable", id="empty"),
    pytest.param(sound_alone, "video_stream_missing", id="sound_alone"),
]


@pytest.mark.parametrize(("make", "code"), FAULTS)
def test_faults_have_one_code_wherever_they_are_met(
    video: Path, tmp_path: Path, make: Callable[[Path, Path], Path], code: str
) -> None:
    path = make(video, tmp_path)
    for read in (probe_video, lambda p: open_video(p, decoder="auto")):
        with pytest.raises(TakeError, match=rf"^{code}: video must .*{path.stem}\.mp4\]$"):
            read(path)


@pytest.mark.slow
def test_libraries_say_nothing_on_stderr(video: Path, tmp_path: Path) -> None:
    paths = [make(video, tmp_path) for make in
             (unknown_codec, cut_off, index_last, empty, sound_alone)]  # fmt: skip
    damaged = bytearray(video.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 3000] = bytes(3000)
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    av1 = write_video(
        tmp_path / "av1.mp4", make_frames(12), codec="libsvtav1", options={"preset": "12"}
    )
    program = """
import json, sys
from pathlib import Path
import numpy as np
from pipelines.video.decode import open_video
from pipelines.video.probe import probe_video
from schemas.errors import TakeError
said = []
for name in sys.argv[1:]:
    try:
        probe_video(Path(name))
        reader = open_video(Path(name), decoder="auto")
        frames = sum(len(f) for f in reader.read(np.arange(len(reader))))
        said.append(f"{reader.decoder} {frames}")
    except TakeError as error:
        said.append(error.code)
print(json.dumps(said))
"""
    names = [str(p) for p in (*paths, tmp_path / "damaged.mp4", av1)]
    done = subprocess.run(
        [sys.executable, "-c", program, *names], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [
        "video_undecodable", "video_unreadable", "video_unreadable", "video_unreadable",
        "video_stream_missing", "video_undecodable", "pyav 12",
    ]  # fmt: skip
    assert done.stderr == ""
