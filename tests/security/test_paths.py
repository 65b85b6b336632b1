"""Paths and links in a dataset: none leads out of it unless the config says that links may."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig, load_config
from pipelines.datasets.base import DatasetReader
from pipelines.datasets.registry import open_reader
from pipelines.outcome import state_path
from pipelines.parts.keys import take_path
from schemas.errors import TakeError, UsageError
from schemas.store import is_inside, is_tag

ESCAPES = ["../out.mp4", "a/../../out.mp4", "/etc/passwd", "./../out.mp4"]


def reader_of(name: str, root: Path, *, follow_links: bool = False) -> DatasetReader:
    config = DatasetConfig.model_validate(
        {"name": name, "root": root, "follow_links": follow_links}
    )
    return open_reader(config, imu=ImuConfig(), video=VideoConfig(), text=TextConfig())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "out.mp4").write_bytes(b"elsewhere")
    (tmp_path / "data" / "a" / "in.mp4").write_bytes(b"inside")
    (tmp_path / "data" / "link.mp4").symlink_to(tmp_path / "out.mp4")
    (tmp_path / "data" / "near.mp4").symlink_to("a/in.mp4")
    (tmp_path / "data" / "folder").symlink_to(tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize("follow_links", [False, True])
@pytest.mark.parametrize("relative", ESCAPES)
def test_names_that_climb_out_are_refused_whatever_links_may_do(
    root: Path, relative: str, *, follow_links: bool
) -> None:
    with pytest.raises(TakeError, match=r"path_escapes_root: .*inside the dataset"):
        take_path(root, relative, follow_links=follow_links)


def test_links_that_leave_are_followed_only_where_the_config_says_so(root: Path) -> None:
    assert take_path(root, "near.mp4") == (root / "a" / "in.mp4").resolve()
    for name in ("link.mp4", "folder/out.mp4"):
        with pytest.raises(TakeError, match="path_escapes_root"):
            take_path(root, name)
        assert take_path(root, name, follow_links=True).read_bytes() == b"elsewhere"
    (root / "circle").symlink_to("circle")
    with pytest.raises(TakeError, match="file_missing"):
        take_path(root, "circle", follow_links=True)


def test_following_links_changes_no_version() -> None:
    made = [
        load_config(
            None,
            overrides={
                "dataset.name": "folder",
                "dataset.root": "x",
                "store.uri": "y",
                "dataset.follow_links": follow,
            },
        ).identity()
        for follow in (False, True)
    ]
    assert made[0] == made[1]
    assert "follow_links" not in made[0]["dataset"]


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("egoexo4d", "takes.json"),
        ("egoexo4d", "annotations/atomic_descriptions_train.json"),
        ("ego4d", "ego4d.json"),
        ("ego4d", "v2/annotations/narration.json"),
        ("folder", "takes.csv"),
        ("folder", "narrations.parquet"),
    ],
)
def test_metadata_are_no_links_to_elsewhere(tmp_path: Path, dataset: str, name: str) -> None:
    root = tmp_path / "data"
    (root / name).parent.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("PRIVATE")
    (root / name).symlink_to(secret)
    with pytest.raises(UsageError, match=r"must lie inside dataset.root.*follow_links=true"):
        reader_of(dataset, root).read_catalogue()
    with pytest.raises(UsageError) as followed:
        reader_of(dataset, root, follow_links=True).read_catalogue()
    assert "must lie inside" not in str(followed.value)


def test_captions_beside_a_clip_are_no_links_to_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    root.mkdir()
    (root / "c.mp4").write_bytes(b"clip")
    (tmp_path / "private.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nPRIVATE words\n")
    (root / "c.vtt").symlink_to(tmp_path / "private.vtt")
    catalogue = reader_of("gopro", root).read_catalogue()
    (fault,) = catalogue.faults.values()
    assert fault.code == "path_escapes_root"
    assert "PRIVATE" not in str(catalogue)
    (followed,) = reader_of("gopro", root, follow_links=True).read_catalogue().narrations.values()
    assert [n.text_raw for n in followed] == ["PRIVATE words"]


def test_a_folder_of_linked_folders_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "c.mp4").write_bytes(b"clip")
    root = tmp_path / "clips"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(root)
    with pytest.raises(UsageError, match="must hold mp4 clips, got none"):
        reader_of("gopro", root).read_catalogue()
    (take,) = reader_of("gopro", root, follow_links=True).read_catalogue().takes
    assert take.video is not None
    assert take.video.path == "linked/c.mp4"


def test_a_pipe_among_the_metadata_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "takes.json")
    with pytest.raises(UsageError, match=r"takes.json must be a file, got something else"):
        reader_of("egoexo4d", tmp_path).read_catalogue()


@pytest.mark.parametrize("uid", ["../../x", "a/b", "/etc/x", ".", "..", "x" * 300, "a\0b", "\n"])
def test_a_takes_name_becomes_no_path(tmp_path: Path, uid: str) -> None:
    path = state_path(tmp_path, uid)
    assert path.parent == tmp_path / "state"
    assert len(path.name) < 200


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("segments.parquet", True),
        ("arrays.zarr/imu/c/0/0/0", True),
        (".hidden", True),
        ("", False),
        ("/etc/passwd", False),
        ("../x", False),
        ("a/../../x", False),
        ("a//b", False),
        ("a/./b", False),
        ("a/", False),
        ("a\\..\\b", False),
        ("C:x", False),
        ("a\0b", False),
    ],
)
def test_recorded_paths_stay_below_their_folder(path: str, *, inside: bool) -> None:
    assert is_inside(path) is inside


@pytest.mark.parametrize("tag", ["../x", "a/b", "a..b", "", "A", "0123456789abcdef", "a\n"])
def test_tags_and_masks_are_no_paths(tag: str) -> None:
    assert not is_tag(tag)


def table_of(texts: list[str]) -> pa.Table:
    rows = len(texts)
    return pa.table({"take_uid": ["u"] * rows, "t_ns": [0] * rows, "text": texts})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "i.csv").write_text("t_ns\n")
    (tmp_path / "takes.csv").write_text("take_uid,imu\nu,i.csv\n")
    return tmp_path


def test_tables_that_unpack_to_far_more_are_refused_on_the_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "narrations.parquet"
    pq.write_table(table_of(["word " * 1000] * 14_000), path)  # 70 MB in a few kB
    assert path.stat().st_size < 100_000
    with pytest.raises(UsageError, match=r"narrations.parquet must unpack to at most 67108864"):
        reader_of("folder", folder).read_catalogue()
    pq.write_table(table_of(["w" * 100_001]), path)
    with pytest.raises(UsageError, match="text must have at most 100000 bytes a cell, got 100001"):
        reader_of("folder", folder).read_catalogue()
    pq.write_table(table_of(["w" * 100_000]), path)
    assert len(reader_of("folder", folder).read_catalogue().narrations["u"]) == 1
    monkeypatch.setattr("pipelines.datasets.folder_tables.MOST_TABLE_ROWS", 2)
    pq.write_table(table_of(["a"] * 3), path)
    with pytest.raises(UsageError, match=r"at most 2 rows, got 3: split"):
        reader_of("folder", folder).read_catalogue()


def test_tables_hold_one_value_a_cell(folder: Path) -> None:
    table = table_of(["a"]).set_column(2, "text", pa.array([["a"] * 3]))
    pq.write_table(table, folder / "narrations.parquet")
    with pytest.raises(UsageError, match="must hold one value a cell, got lists in text"):
        reader_of("folder", folder).read_catalogue()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "must be readable JSON, got .*recursion"),
        ('{"a": ' * 100_000, "must be readable JSON, got .*recursion"),
        ("[" + "9" * 5000 + "]", "must be readable JSON, got Exceeds the limit"),
        ("\x00", "must be readable JSON"),
    ],
)
def test_metadata_too_deep_or_too_large_are_one_sentence(
    tmp_path: Path, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "takes.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        reader_of("egoexo4d", tmp_path).read_catalogue()
    monkeypatch.setattr("pipelines.datasets.json_fields.LARGEST_METADATA_BYTES", 0)
    with pytest.raises(UsageError, match=r"takes.json must have at most 0 bytes"):
        reader_of("egoexo4d", tmp_path).read_catalogue()


def test_a_file_of_sentences_larger_than_any_is_its_takes_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.text.captions.LARGEST_CAPTIONS_BYTES", 9)
    for name, text in {"a.vtt": "WEBVTT\n\n\n\n", "b.csv": "t_s,text\n1,a"}.items():
        (tmp_path / name).with_suffix(".mp4").write_bytes(b"clip")
        (tmp_path / name).write_text(text)
    faults = reader_of("gopro", tmp_path).read_catalogue().faults.values()
    assert [fault.code for fault in faults] == ["captions_too_large"] * 2
