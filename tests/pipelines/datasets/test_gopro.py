import shutil
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.gopro import GoProReader
from schemas.errors import TakeError, UsageError
from schemas.narration import Narration
from tests.gopro_files import Sensor, make_payloads, write_clip

S = 1_000_000_000


def reader(
    root: Path,
    *,
    variant: str = "auto",
    accept_sensor_frame: bool = False,
    sources: tuple[str, ...] | None = None,
) -> GoProReader:
    return GoProReader(
        DatasetConfig(name="gopro", root=root),
        imu=ImuConfig(accept_sensor_frame=accept_sensor_frame),
        video=VideoConfig.model_validate({"variant": variant}),
        text=TextConfig(sources=sources),
    )


def uid(clip: str) -> str:
    return sha256(clip.encode()).hexdigest()[:16]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips by name only: a catalogue opens none of them."""
    (tmp_path / "day 1").mkdir()
    for name in ("GX010001.MP4", "day 1/GX010002.mp4", "day 1/._GX010002.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "day 1" / "GX010002.vtt").write_text(
        "WEBVTT\n\n00:10.000 --> 00:12.000\nC cuts\n\n00:02.000 --> 00:03.000\nC washes\n\nlost\n"
    )
    (tmp_path / "day 1" / "GX010002.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nunread")
    (tmp_path / "GX010001.SRT").write_text("1\n00:00:01,000 --> 00:00:02,000\nC walks")
    return tmp_path


def test_catalogue_has_a_take_for_every_clip(folder: Path) -> None:
    takes = reader(folder).read_catalogue().takes
    assert [take.take_uid for take in takes] == sorted(
        [uid("GX010001.MP4"), uid("day 1/GX010002.mp4")]
    )
    by_name = {take.take_name: take for take in takes}
    take = by_name["GX010002"]
    assert take.dataset == "gopro"
    assert take.video is not None
    assert take.imu is not None
    assert (take.video.path, take.video.variant) == ("day 1/GX010002.mp4", "full")
    assert (take.imu.path, take.imu.label) == ("day 1/GX010002.mp4", "gpmf")
    assert (take.participant, take.label) == (None, None)


def test_narrations_stand_at_the_middle_of_their_cues(folder: Path) -> None:
    catalogue = reader(folder).read_catalogue()
    assert catalogue.narrations == {
        uid("GX010001.MP4"): (
            Narration(
                narration_ns=3 * S // 2,
                text_raw="C walks",
                text="",
                text_source="srt",
                pass_uid="GX010001.SRT",
            ),
        ),
        uid("day 1/GX010002.mp4"): tuple(
            Narration(
                narration_ns=at,
                text_raw=text,
                text="",
                text_source="webvtt",
                pass_uid="GX010002.vtt",
            )
            for at, text in ((5 * S // 2, "C washes"), (11 * S, "C cuts"))
        ),
    }
    assert catalogue.ignored == {"caption_timing": 1}
    assert catalogue.faults == {}


def test_captions_are_read_by_precedence_and_by_choice(folder: Path) -> None:
    (folder / "day 1" / "GX010002.csv").write_text("t_s,text\n7,C rests\n8,\n")
    clip = uid("day 1/GX010002.mp4")

    def texts(*sources: str) -> list[str]:
        catalogue = reader(folder, sources=sources or None).read_catalogue()
        return [n.text_raw for n in catalogue.narrations.get(clip, ())]

    assert texts() == ["C washes", "C cuts"]
    assert texts("srt", "csv") == ["unread"]
    assert texts("csv") == ["C rests"]
    (rest,) = reader(folder, sources=("csv",)).read_catalogue().narrations[clip]
    assert (rest.narration_ns, rest.text_source) == (7 * S, "csv")
    assert rest.pass_uid == "GX010002.csv"
    assert reader(folder, sources=("csv",)).read_catalogue().ignored == {"caption_empty": 1}
    (folder / "day 1" / "GX010002.vtt").unlink()
    (folder / "day 1" / "GX010002.srt").unlink()
    assert texts() == ["C rests"]


def test_unknown_sources_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"text\.sources of gopro must be among webvtt, srt, csv"):
        reader(folder, sources=("csv", "atomic_descriptions")).read_catalogue()


def test_unreadable_csv_is_the_fault_of_its_take(folder: Path) -> None:
    (folder / "GX010001.SRT").unlink()
    (folder / "GX010001.csv").write_text("seconds,text\n7,C rests\n")
    fault = reader(folder).read_catalogue().faults[uid("GX010001.MP4")]
    assert fault.code == "captions_unreadable"
    assert "columns must be start_s, end_s, text or t_s, text, got seconds, text" in fault.detail


@pytest.fixture(scope="module")
def chapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of three chapters of 60 frames at 29.97 a second, 2.002 s each."""
    root = tmp_path_factory.mktemp("chapters")
    for k in range(3):
        sensors = [Sensor(rate_hz=hz, first_s=2.0 * k) for hz in (200, 400)]
        payloads = make_payloads(seconds=2, start_s=2.0 * k, accel=sensors[0], gyro=sensors[1])
        write_clip(
            root / f"GX{k + 1:02}0123.MP4", payloads, frames=60, rate=Fraction(30000, 1001), seed=k
        )
    (root / "GX010123.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nC walks\n")
    (root / "GX030123.csv").write_text("t_s,text\n1.5,C stops\n0.5,C turns\n")
    return root


def test_chapters_are_one_take_with_the_sentences_of_all(chapters: Path) -> None:
    catalogue = reader(chapters).read_catalogue()
    (take,) = catalogue.takes
    names = ("GX010123.MP4", "GX020123.MP4", "GX030123.MP4")
    assert take.take_uid == uid("GX010123.MP4")
    assert take.take_name == "GX010123"
    assert take.video is not None
    assert take.imu is not None
    assert take.video.paths == take.imu.paths == names
    start_ns = 2 * 60 * 1001 * S // 30000
    assert [(n.narration_ns, n.text_raw, n.pass_uid) for n in catalogue.narrations[take.take_uid]] \
        == [(3 * S // 2, "C walks", "GX010123.srt"), (start_ns + S // 2, "C turns", "GX030123.csv"),
            (start_ns + 3 * S // 2, "C stops", "GX030123.csv")]  # fmt: skip


def test_clock_and_imu_of_chapters_span_all(chapters: Path) -> None:
    gopro = reader(chapters)
    (take,) = gopro.read_catalogue().takes
    clock = gopro.read_clock(take)
    # The last chapter's gyro ends 2.5 ms, its accelerometer 5 ms, before its two seconds are over.
    assert clock.span.start_ns == 0
    assert clock.span.end_ns == pytest.approx(2 * 2.002 * S + 1.995 * S, abs=1e5)
    assert clock.uncertainty_ns == round(1001 / 30000 * S)
    recording = gopro.read_imu(take, clock)
    assert (recording.info["chapters"], recording.info["gyro_samples"]) == (3, 2400)
    stamps = [int(t) for run in recording.runs for t in run.gyro.t_ns]
    assert len(stamps) == 2400
    assert stamps == sorted(set(stamps))


def test_chapter_that_cannot_be_read_is_the_fault_of_its_take(
    chapters: Path, tmp_path: Path
) -> None:
    for path in chapters.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "GX020123.MP4").write_bytes(b"")
    catalogue = reader(tmp_path).read_catalogue()
    # The third chapter's sentences need to know how long the second is.
    assert catalogue.faults[uid("GX010123.MP4")].code == "video_unreadable"
    (tmp_path / "GX030123.csv").unlink()
    gopro = reader(tmp_path)
    catalogue = gopro.read_catalogue()
    assert catalogue.faults == {}
    with pytest.raises(TakeError, match=r"video_unreadable: .*GX020123\.MP4"):
        gopro.read_clock(catalogue.takes[0])


def test_unreadable_captions_are_the_fault_of_their_take(folder: Path) -> None:
    (folder / "day 1" / "GX010002.vtt").write_bytes(b"no header")
    catalogue = reader(folder).read_catalogue()
    fault = catalogue.faults[uid("day 1/GX010002.mp4")]
    assert fault.code == "captions_unreadable"
    assert "line 1: must be WEBVTT" in fault.detail
    assert list(catalogue.narrations) == [uid("GX010001.MP4")]
    assert len(catalogue.takes) == 2


def test_clip_outside_the_folder_is_the_fault_of_its_take(folder: Path, tmp_path: Path) -> None:
    inside = folder / "day 1"
    (inside / "link.mp4").symlink_to(folder / "GX010001.MP4")
    fault = reader(inside).read_catalogue().faults[uid("link.mp4")]
    assert fault.code == "path_escapes_root"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("absent", "dataset.root must be a folder of mp4 clips, got", id="absent"),
        pytest.param("GX010001.MP4", "dataset.root must be a folder of mp4 clips", id="file"),
        pytest.param("empty", "dataset.root must hold mp4 clips, got none in", id="empty"),
    ],
)
def test_folder_without_clips_is_refused(folder: Path, name: str, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        reader(folder / name).read_catalogue()


def test_another_copy_of_the_picture_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"video\.variant must be auto or full .* got 448"):
        reader(folder, variant="448").read_catalogue()


def test_real_clip_gives_clock_and_imu(shared_data: Path, tmp_path: Path) -> None:
    shutil.copy(shared_data / "gopro_karma.mp4", tmp_path / "clip.mp4")
    gopro = reader(tmp_path)
    (take,) = gopro.read_catalogue().takes
    clock = gopro.read_clock(take)
    # Within the 362 frames of 1001/30000 s that the container counts, and all of the sensors.
    stamps = [(run.accel.t_ns, run.gyro.t_ns) for run in gopro.read_imu(take, clock).runs]
    first = max(stamps[0][0][0], stamps[0][1][0])
    last = min(stamps[-1][0][-1], stamps[-1][1][-1])
    assert abs(clock.span.start_ns - max(0, first)) <= 1
    assert abs(clock.span.end_ns - min(last, round(362 * 1001 * S / 30000))) <= 1
    assert clock.uncertainty_ns == round(1001 / 30000 * S)
    recording = gopro.read_imu(take, clock)
    runs = list(recording.runs)
    assert recording.frame == "device"
    assert sum(len(run.gyro) for run in runs) == 4795
    assert max(len(run.gyro) for run in runs) < 500  # a payload at a time, never the whole take
    assert abs(int(runs[0].gyro.t_ns[0])) < 20_000_000
    assert reader(tmp_path, accept_sensor_frame=True).read_imu(take, clock).frame == "sensor"


def test_clip_that_is_no_video_is_refused(folder: Path) -> None:
    gopro = reader(folder)
    take = gopro.read_catalogue().takes[0]
    with pytest.raises(TakeError, match="video_unreadable"):
        gopro.read_clock(take)


def test_a_clip_whose_name_is_no_text_is_named(folder: Path) -> None:
    (folder / "a\udcff.mp4").write_bytes(b"")
    with pytest.raises(UsageError, match=r"clips must have names in UTF-8, got 'a\\udcff\.mp4' in"):
        reader(folder).read_catalogue()
