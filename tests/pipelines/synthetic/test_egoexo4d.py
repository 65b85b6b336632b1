import json
from hashlib import sha256
from pathlib import Path

import av
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.egoexo4d import EgoExo4DReader
from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.truth import read_truth
from schemas.errors import UsageError

pytestmark = pytest.mark.slow


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "data"
    write_egoexo4d(root, takes=2, seconds=1, seed=1, full_size="one")
    return root


def test_layout_is_the_published_one(dataset: Path) -> None:
    takes = json.loads((dataset / "takes.json").read_text())
    expected = {
        "takes.json",
        "captures.json",
        "participants.json",
        "physical_setting.json",
        "truth.json",
        "annotations/splits.json",
        "annotations/atomic_descriptions_train.json",
        "annotations/atomic_descriptions_val.json",
        "annotations/expert_commentary_train.json",
        "annotations/expert_commentary_val.json",
    }
    for number, take in enumerate(takes):
        folder = take["root_dir"]
        small = "frame_aligned_videos/downscaled/448/aria01_214-1.mp4"
        expected |= {f"{folder}/{small}", f"{folder}/aria01_noimagestreams.vrs"}
        expected.add(f"{take['capture']['root_dir']}/timesync.csv")
        if number == 0:
            expected.add(f"{folder}/frame_aligned_videos/aria01_214-1.mp4")
        for path, size in ((small, 448), ("frame_aligned_videos/aria01_214-1.mp4", 1408)):
            if f"{folder}/{path}" in expected:
                with av.open(str(dataset / folder / path)) as container:
                    stream = container.streams.video[0]
                    assert (stream.codec_context.name, stream.average_rate) == ("h264", 30)
                    assert (stream.width, stream.height, stream.frames) == (size, size, 30)
    assert set(digests(dataset)) == expected


def test_our_reader_finds_both_texts(dataset: Path) -> None:
    found = {}
    for sources in (None, ("expert_commentary",), ("atomic_descriptions", "expert_commentary")):
        catalogue = EgoExo4DReader(
            DatasetConfig(name="egoexo4d", root=dataset),
            imu=ImuConfig(),
            video=VideoConfig(),
            text=TextConfig(sources=sources),
        ).read_catalogue()
        assert catalogue.faults == {}
        found[sources] = sum(map(len, catalogue.narrations.values()))
        if sources is not None:
            assert catalogue.ignored["commentary_error"] == 1
    said = 0
    for split in ("train", "val"):
        path = dataset / "annotations" / f"expert_commentary_{split}.json"
        for experts in json.loads(path.read_text())["annotations"].values():
            said += sum(not r["error"] for e in experts for r in e["commentary_data"])
    atomic, expert, both = found.values()
    assert expert == said
    assert both == atomic + expert
    assert atomic == read_truth(dataset).narrations["accepted"] > 0


def test_same_seed_same_bytes_whatever_the_workers(dataset: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_egoexo4d(
        tmp_path / "again",
        takes=2,
        seconds=1,
        seed=1,
        full_size="one",
        workers=2,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert digests(tmp_path / "again") == digests(dataset)
    assert steps == [(1, 2), (2, 2)]


def test_another_seed_gives_other_bytes(dataset: Path, tmp_path: Path) -> None:
    write_egoexo4d(tmp_path / "other", takes=2, seconds=1, seed=2)
    ours, other = digests(dataset), digests(tmp_path / "other")
    same = {path for path in set(ours) & set(other) if ours[path] == other[path]}
    # Universities are the same for every seed; of two takes no expert speaks in the val file.
    empty = "annotations/expert_commentary_val.json"
    assert same <= {"participants.json", "physical_setting.json", empty}


def test_faults_are_in_the_files_and_in_the_truth(tmp_path: Path) -> None:
    faults = ["vrs_missing", "no_calibration", "vrs_corrupt", "path_escape", "video_short"]
    root = tmp_path / "parent" / "faulty"
    write_egoexo4d(root, takes=6, seconds=1, seed=1, faults=faults, small_px=112)
    vrs, frames = {}, {}
    for take in read_truth(root).takes:
        folder = root / "takes" / take.take_name
        path = folder / "aria01_noimagestreams.vrs"
        vrs[take.fault] = path.read_bytes() if path.exists() else b""
        video = folder / "frame_aligned_videos/downscaled/448/aria01_214-1.mp4"
        if not video.exists():
            continue
        with av.open(str(video)) as container:
            frames[take.fault] = sum(1 for _ in container.decode(video=0))
            assert container.streams.video[0].width == 112
        assert frames[take.fault] == take.frames_in_file
    # Nothing is written outside the dataset, nor needed there.
    assert [path.name for path in root.parent.iterdir()] == ["faulty"]
    assert frames == {
        None: 30,
        "vrs_missing": 30,
        "no_calibration": 30,
        "vrs_corrupt": 30,
        "video_short": 27,
    }
    assert vrs["path_escape"] == vrs["vrs_missing"] == b""
    assert len(vrs["vrs_corrupt"]) == 65_536
    assert not vrs["vrs_corrupt"].startswith(b"VisionRe")
    assert vrs["no_calibration"].startswith(b"VisionRe")
    assert b"calib_json" not in vrs["no_calibration"]
    assert b"calib_json" in vrs["video_short"]


def test_folder_with_something_in_it_is_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="must be new or empty"):
        write_egoexo4d(dataset, takes=1, seconds=1, seed=1)


def test_unknown_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be none, one or all, got 'both'"):
        write_egoexo4d(tmp_path / "x", takes=1, seconds=1, seed=1, full_size="both")  # type: ignore[arg-type]
