import json
from hashlib import sha256
from pathlib import Path

import av
import pytest

from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.plan import FAULTS
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
    # Universities, and nothing else, are the same for every seed.
    assert same <= {"participants.json", "physical_setting.json"}


def test_faults_are_in_the_files_and_in_the_truth(tmp_path: Path) -> None:
    root = tmp_path / "faulty"
    write_egoexo4d(root, takes=5, seconds=1, seed=1, faults=FAULTS)
    found = {}
    for take in read_truth(root).takes:
        folder = root / "takes" / take.take_name
        vrs = folder / "aria01_noimagestreams.vrs"
        assert take.fault is not None
        found[take.fault] = vrs.read_bytes() if vrs.exists() else None
        video = folder / "frame_aligned_videos/downscaled/448/aria01_214-1.mp4"
        with av.open(str(video)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames == take.frames_in_file == (27 if take.fault == "video_truncated" else 30)
    assert set(found) == set(FAULTS)
    assert found["vrs_missing"] is None
    corrupt, bare, whole = (
        found[name] for name in ("vrs_corrupt", "no_calibration", "video_truncated")
    )
    assert corrupt is not None
    assert bare is not None
    assert whole is not None
    assert not corrupt.startswith(b"VisionRe")
    assert bare.startswith(b"VisionRe")
    assert b"calib_json" not in bare
    assert b"calib_json" in whole


def test_folder_with_something_in_it_is_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="must be new or empty"):
        write_egoexo4d(dataset, takes=1, seconds=1, seed=1)


def test_unknown_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be none, one or all, got 'both'"):
        write_egoexo4d(tmp_path / "x", takes=1, seconds=1, seed=1, full_size="both")  # type: ignore[arg-type]
