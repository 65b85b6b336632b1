"""Media files that lie: lists of other files, claims of billions, pictures larger than any."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.video import container, picture_stream, probe
from pipelines.video.decode import open_video
from pipelines.video.mp4_boxes import check_sample_counts, walk_boxes
from pipelines.video.probe import probe_video
from schemas.errors import TakeError
from tests.video_files import make_frames, write_video

MIB = 1 << 20
# Opened in a process of its own, whose address space may grow by no more than this.
ROOM = 768 * MIB
MEASURED = """
import json, resource, sys
from pathlib import Path
import numpy as np
from pipelines.video.decode import open_video
from pipelines.video.probe import probe_video
from schemas.errors import TakeError
from tests.memory_peak import peak_mib
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
codes = []
for name in map(Path, sys.argv[2:]):
    try:
        probe_video(name)
        reader = open_video(name, decoder="pyav")
        for frames in reader.read(np.arange(len(reader))):
            pass
        codes.append("")
    except TakeError as error:
        codes.append(error.code)
print(json.dumps({"codes": codes, "mib": peak_mib()}))
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4", make_frames(20))


def claiming(video: Path, folder: Path, *, samples: int, each: int = 1) -> Path:
    """A copy whose one track claims ``samples`` frames of ``each`` bytes, in its own few bytes."""
    data = bytearray(video.read_bytes())
    at = {name: data.index(name) for name in (b"stsz", b"stsc", b"stts")}
    data[at[b"stsz"] + 8 : at[b"stsz"] + 16] = struct.pack(">II", each, samples)
    data[at[b"stsc"] + 16 : at[b"stsc"] + 20] = struct.pack(">I", samples)
    data[at[b"stts"] + 12 : at[b"stts"] + 16] = struct.pack(">I", samples)
    path = folder / "claim.mp4"
    path.write_bytes(data)
    return path


def refused(path: Path, code: str) -> str:
    with pytest.raises(TakeError) as caught:
        probe_video(path)
    assert caught.value.code == code, caught.value
    return caught.value.detail


def test_a_list_of_other_files_is_no_video(video: Path, tmp_path: Path) -> None:
    (tmp_path / "private.mp4").write_bytes(video.read_bytes())
    for name, text in {
        "concat.mp4": "ffconcat version 1.0\nfile private.mp4\n",
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/private.mp4\n"
        "#EXT-X-ENDLIST\n",
    }.items():
        path = tmp_path / name
        path.write_text(text)
        if name == "concat.mp4":
            # Left to itself libav plays the other file's frames under this one's name.
            with av.open(str(path)) as lured:
                assert sum(1 for _ in lured.decode(video=0)) == 20
        assert name in refused(path, "video_unreadable")


def test_samples_that_the_file_cannot_hold_are_refused(video: Path, tmp_path: Path) -> None:
    size = video.stat().st_size
    detail = refused(claiming(video, tmp_path, samples=size + 1), "video_too_large")
    assert f"no more samples than its {size} bytes, got {size + 1}" in detail
    detail = refused(claiming(video, tmp_path, samples=1 << 31), "video_too_large")
    assert "at most 16777216 samples a track, got 2147483648" in detail
    check_sample_counts(claiming(video, tmp_path, samples=size))


def test_samples_of_fragments_are_counted_together(video: Path, tmp_path: Path) -> None:
    run = struct.pack(">I4sII", 16, b"trun", 0, 5000)
    fragment = struct.pack(">I4s", 16 + len(run), b"moof") + struct.pack(
        ">I4s", 8 + len(run), b"traf"
    )
    path = tmp_path / "fragments.mp4"
    path.write_bytes(video.read_bytes() + fragment + run)
    check_sample_counts(path)
    path.write_bytes(video.read_bytes() + 2 * (fragment + run))
    with pytest.raises(TakeError, match=r"video_too_large: .*bytes, got 10000"):
        check_sample_counts(path)


def test_uncompressed_sound_may_have_more_samples_than_frames(tmp_path: Path) -> None:
    def box(name: bytes, *contents: bytes) -> bytes:
        body = b"".join(contents)
        return struct.pack(">I4s", 8 + len(body), name) + body

    def track(handler: bytes, *, tick: int) -> bytes:
        table = box(
            b"stbl",
            box(b"stts", struct.pack(">IIII", 0, 1, 1 << 30, tick)),
            box(b"stsz", struct.pack(">III", 0, 4, 1 << 30)),
        )
        described = box(b"hdlr", struct.pack(">II4s", 0, 0, handler))
        return box(b"trak", box(b"mdia", described, box(b"minf", table)))

    path = tmp_path / "sound.mp4"
    path.write_bytes(box(b"ftyp", b"isom0000") + box(b"moov", track(b"soun", tick=1)))
    check_sample_counts(path)
    for tracks in (track(b"soun", tick=2), track(b"soun", tick=1) + track(b"vide", tick=1)):
        path.write_bytes(box(b"ftyp", b"isom0000") + box(b"moov", tracks))
        with pytest.raises(TakeError, match="at most 16777216 samples a track, got 1073741824"):
            check_sample_counts(path)


def test_boxes_are_walked_as_the_standard_says(tmp_path: Path) -> None:
    large = struct.pack(">I4sQ", 1, b"larg", 20) + b"abcd"
    rest = struct.pack(">I4s", 0, b"rest") + b"xyz"
    path = tmp_path / "boxes"
    path.write_bytes(struct.pack(">I4s", 9, b"tiny") + b"!" + large + rest)
    with path.open("rb") as file:
        walked = list(walk_boxes(file, start=0, end=40))
    assert walked == [(b"tiny", 8, 9), (b"larg", 25, 29), (b"rest", 37, 40)]
    path.write_bytes(struct.pack(">I4s", 7, b"back"))  # a size that does not hold its own header
    with path.open("rb") as file:
        assert list(walk_boxes(file, start=0, end=8)) == []


def test_more_boxes_than_a_recording_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.video.mp4_boxes.MOST_MP4_BOXES", 100)
    path = tmp_path / "boxes.mp4"
    path.write_bytes(struct.pack(">I4s", 8, b"free") * 100)
    check_sample_counts(path)
    path.write_bytes(struct.pack(">I4s", 8, b"free") * 101)
    with pytest.raises(TakeError, match=r"video_too_large: .*at most 100 boxes"):
        check_sample_counts(path)


def test_a_compressed_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cmov.mp4"
    inner = struct.pack(">I4s", 8, b"cmov")
    path.write_bytes(struct.pack(">I4s", 8 + len(inner), b"moov") + inner)
    with pytest.raises(TakeError, match=r"video_unreadable: .*got a compressed one"):
        check_sample_counts(path)


def jpeg_movie(path: Path, *, width: int, height: int) -> Path:
    """A movie of JPEG pictures whose own headers claim another size than they have."""
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("mjpeg", rate=30)
        stream.pix_fmt, stream.width, stream.height = "yuvj420p", 160, 96
        for rgb in make_frames(3):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuvj420p")
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    at = data.find(b"\xff\xc0")
    while at >= 0:
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
        at = data.find(b"\xff\xc0", at + 9)
    path.write_bytes(data)
    return path


def decode_all(path: Path) -> None:
    reader = open_video(path, decoder="pyav")
    list(reader.read(np.arange(len(reader))))


def test_the_decoder_holds_frames_inside_a_stream_to_the_limit_too(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Libav counts whole lines of 64 pixels.
    monkeypatch.setitem(container.DECODER_OPTIONS, "max_pixels", str(192 * 96))
    decode_all(video)
    monkeypatch.setitem(container.DECODER_OPTIONS, "max_pixels", str(160 * 96 - 1))
    with pytest.raises(TakeError) as caught:
        decode_all(video)
    assert caught.value.code == "video_undecodable"


def test_the_largest_picture_is_told(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_stream, "LARGEST_PICTURE_PIXELS", 160 * 96)
    assert probe_video(video).width == 160
    monkeypatch.setattr(picture_stream, "LARGEST_PICTURE_PIXELS", 160 * 96 - 1)
    assert "15359 pixels a frame, got 160 x 96: encode" in refused(video, "video_too_large")
    monkeypatch.undo()
    monkeypatch.setattr(probe, "MOST_PICTURE_RATE", 29)
    assert "at most 29 frames a second, got 30" in refused(video, "video_too_large")
    monkeypatch.undo()
    monkeypatch.setattr(probe, "LONGEST_VIDEO_S", 0.5)
    assert "up to 0.5 s, got 0.666667: split" in refused(video, "video_too_large")
    assert container.DECODER_OPTIONS == {"max_pixels": "36000000"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_lie_costs_little_memory(video: Path, tmp_path: Path) -> None:
    lies = {
        claiming(video, tmp_path, samples=150_000_000): "video_too_large",
        # More than libav itself takes for a picture: it forgets the size.
        jpeg_movie(tmp_path / "huge.mp4", width=60_000, height=60_000): "video_undecodable",
        jpeg_movie(tmp_path / "inside.mp4", width=16_000, height=16_000): "video_undecodable",
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(ROOM), *map(str, lies)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["codes"] == list(lies.values())
    assert told["mib"] < 1000
