import json
from hashlib import sha256
from pathlib import Path

import av
import pytest

from pipelines.synthetic.ego4d import write_ego4d
from pipelines.synthetic.ego4d_truth import read_ego4d_truth
from schemas.errors import UsageError


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_layout_and_pictures(tmp_path: Path) -> None:
    write_ego4d(
        tmp_path / "d", takes=1, seconds=1, seed=6, size_px=96, participants=1, full_size="one"
    )
    (take,) = read_ego4d_truth(tmp_path / "d").takes
    uid = take.take_uid
    assert set(digests(tmp_path / "d")) == {
        "ego4d.json",
        "truth.json",
        "v2_1/annotations/narration.json",
        f"v2_1/full_scale/{uid}.mp4",
        f"v2_1/imu/{uid}.csv",
        f"v2_1/video_540ss/{uid}.mp4",
    }
    for folder, size in (("video_540ss", 96), ("full_scale", 192)):
        with av.open(str(tmp_path / "d" / "v2_1" / folder / f"{uid}.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (size, size)
            assert sum(1 for _ in container.decode(stream)) == 30
            assert stream.average_rate == 30
    assert len(json.loads((tmp_path / "d" / "ego4d.json").read_text())["videos"]) == 1


@pytest.mark.slow
def test_equal_bytes_whatever_the_workers(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    for name, workers in (("one", 1), ("two", 2)):
        write_ego4d(
            tmp_path / name,
            takes=2,
            seconds=1,
            seed=6,
            faults=["video_empty", "video_audio_only"],
            workers=workers,
            progress=lambda k, n: done.append((k, n)),
        )
    assert done == [(1, 2), (2, 2)] * 2
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) == 7


def test_a_missing_imu_file_is_missing(tmp_path: Path) -> None:
    write_ego4d(tmp_path / "d", takes=1, seconds=1, seed=6, size_px=32, faults=["imu_file_missing"])
    assert list((tmp_path / "d/v2_1/imu").iterdir()) == []
    assert len(list((tmp_path / "d/v2_1/video_540ss").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size_px": 30}, "size_px must be a positive multiple of 4, got 30"),
        ({"size_px": 0}, "size_px must be a positive multiple of 4, got 0"),
        ({"full_size": "some"}, "full_size must be none, one or all, got 'some'"),
        ({"faults": ["vrs_missing"]}, "faults of ego4d must be among"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    given: dict[str, object] = {"takes": 1, "seconds": 1, "seed": 0, **arguments}
    with pytest.raises(UsageError, match=said):
        write_ego4d(tmp_path / "d", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UsageError, match="must be new or empty"):
        write_ego4d(tmp_path, takes=1, seconds=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
