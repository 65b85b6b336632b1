import json
import re
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
import yaml
from upath import UPath

from pipelines.stores.card import make_card
from schemas.store import canonical_json, sha256_hex


def head_of(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    parsed: dict[str, Any] = yaml.safe_load(head)
    return parsed


def plain(cell: str) -> str:
    """Undo Markdown: backslashes, code spans, entities."""
    cell = cell.strip()
    if len(cell) > 2 and cell[0] == cell[-1] == "`":
        return cell[1:-1]  # nothing is escaped within code
    return unescape(re.sub(r"\\(.)", r"\1", cell))


def tables_of(card: str, section: str) -> list[list[list[str]]]:
    """Rows, without the head, of every table of a section."""
    body = card.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"(?:^\|.*\n)+", body, flags=re.MULTILINE)
    return [
        [
            [plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()[2:]
        ]
        for block in blocks
    ]


def rename(store: Path, version: str, change: dict[str, Any]) -> str:
    """Publish the same version under an altered manifest, as another's writer might."""
    folder = store / "versions" / version
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for path, value in change.items():
        *groups, last = path.split(".")
        inner = manifest
        for group in groups:
            inner = inner[group]
        inner[last] = value
    data = canonical_json(manifest)
    other = sha256_hex(data)[:16]
    (folder / "manifest.json").write_bytes(data)
    folder.rename(store / "versions" / other)
    return other


def test_the_front_matter_counts_what_is_there(published: tuple[Path, str]) -> None:
    store, version = published
    folder = store / "versions" / version
    table = pq.read_table(folder / "segments.parquet")
    files = [p for p in folder.rglob("*") if p.is_file()]
    listed = [p for p in files if p.name not in {"manifest.json", "run.json"}]
    head = head_of(make_card(store, version))
    assert head["pretty_name"] == "egoexo4d"
    assert head["license"] == "unknown"
    assert head["size_categories"] == ["n<1K"]
    info = head["dataset_info"]
    assert [f["name"] for f in info["features"]] == table.column_names
    assert info["features"][7] == {"name": "start_ns", "dtype": "int64"}
    assert info["splits"] == [
        {
            "name": "segments",
            "num_bytes": (folder / "segments.parquet").stat().st_size,
            "num_examples": table.num_rows,
        }
    ]
    assert info["download_size"] == sum(p.stat().st_size for p in listed)
    (config,) = head["configs"]
    (data,) = config["data_files"]
    assert (store / data["path"]).is_file()
    assert config["config_name"] == info["config_name"]
    assert {"imu", "video-embeddings"} <= set(head["tags"])


def test_the_tables_count_what_is_there(published: tuple[Path, str]) -> None:
    store, version = published
    rows = pq.read_table(store / "versions" / version / "segments.parquet").to_pylist()
    manifest = json.loads((store / "versions" / version / "manifest.json").read_bytes())
    card = make_card(store, version)
    arrays, columns = tables_of(card, "Structure")
    shapes = {row[0]: row[2] for row in arrays}
    assert shapes == {
        "imu": f"{len(rows)} x 6 x 10",
        "video": f"{len(rows)} x 8",
        "text": f"{len(rows)} x 6",
        "valid": f"{len(rows)} x 3",
    }
    assert [row[0] for row in columns] == list(rows[0])
    splits, labels = tables_of(card, "Splits")
    people = {(row["split"], row["participant"]) for row in rows}
    counted = Counter(row["split"] for row in rows)
    for split, segments, participants in splits[:3]:
        assert int(segments) == counted[split]
        assert int(participants) == sum(s == split for s, _ in people)
    assert splits[3] == ["in none", str(counted[None]), ""]
    by_label = Counter(row["label"] for row in rows)
    assert {row[0]: int(row[1]) for row in labels} == {
        **{label: n for label, n in by_label.items() if label is not None},
        "without one": by_label[None],
    }
    origins, encoder, parts = tables_of(card, "Creation")
    frames = Counter(row["imu_frame"] for row in rows if row["imu_frame"] is not None)
    assert {value: int(n) for column, value, n in origins if column == "imu_frame"} == frames
    sources = Counter(row["text_source"] for row in rows if row["text_source"] is not None)
    assert {value: int(n) for column, value, n in origins if column == "text_source"} == sources
    assert dict(encoder)["weights_sha256"] == "0" * 64
    assert {kind: int(n) for kind, n in parts} == manifest["part_versions"]
    size = sum(source["size"] for source in manifest["sources"])
    assert f"Made from {len(manifest['sources'])} files of {size} bytes." in card
    (quality,) = tables_of(card, "Quality")
    assert {row[0]: float(row[1]) for row in quality} == {
        name: figures["count"] for name, figures in manifest["quality"].items()
    }
    counts = manifest["counts"]
    left_out = tables_of(card, "What was left out")
    assert sum(int(n) for table in left_out for _, _, n in table) == sum(
        sum(counts[kind].values())
        for kind in ("dropped", "quarantined", "quarantined_takes", "ignored")
    )
    assert f"{counts['planned']} segments were planned: {len(rows)} stored" in card


def test_equal_versions_have_equal_cards_wherever_they_lie(
    published: tuple[Path, str], master: tuple[Path, str]
) -> None:
    assert make_card(*published) == make_card(*master)
    text = make_card(*published)
    fsspec.filesystem("memory").put(str(published[0]), "/card-test/store", recursive=True)
    assert make_card(UPath("memory://card-test/store"), published[1]) == text
    assert str(published[0]) not in text
    assert f"--store STORE@{published[1]}" in text


def test_name_and_licence_are_as_given(published: tuple[Path, str]) -> None:
    card = make_card(*published, pretty_name='A: "b" #1\n---', licence="cc-by-4.0")
    head = head_of(card)
    assert head["pretty_name"] == 'A: "b" #1\n---'
    assert head["license"] == "cc-by-4.0"


def test_words_of_the_data_stay_words(published: tuple[Path, str]) -> None:
    store, version = published
    evil = "a|b\n# c <script>alert(1)</script> [x](http://y) `z`"
    other = rename(
        store, version, {"counts.dropped": {evil: 7}, "counts.labels": {evil: 1}, "dataset": "a*b"}
    )
    card = make_card(store, other)
    assert "<script" not in card
    assert "[x](" not in card
    assert not re.search(r"^# c", card, flags=re.MULTILINE)
    assert "# a\\*b" in card
    (left_out,) = tables_of(card, "What was left out")
    assert left_out == [["segments dropped", evil.replace("\n", " "), "7"]]


def test_limits_are_told_where_there_are_any(published: tuple[Path, str]) -> None:
    store, version = published
    assert "random numbers" in make_card(store, version)
    assert "more than one split" not in make_card(store, version)
    names = ["p1 (train, test)"]
    shared = {"counts.shared_participants": 1, "counts.shared_names": names}
    card = make_card(store, rename(store, version, shared))
    assert "1 participants are in more than one split" in card
    assert "p1 \\(train, test\\)" in card


@pytest.mark.parametrize(
    ("rows", "said"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**7 - 1, "1M<n<10M"), (10**7, "n>10M")]
)
def test_sizes_are_those_of_the_hubs(published: tuple[Path, str], rows: int, said: str) -> None:
    store, version = published
    assert head_of(make_card(store, rename(store, version, {"counts.stored": rows})))[
        "size_categories"
    ] == [said]


def test_a_version_of_imu_alone_tells_of_no_encoder(published: tuple[Path, str]) -> None:
    store, version = published
    card = make_card(store, rename(store, version, {"encoder": None}))
    assert [row[0] for row in tables_of(card, "Structure")[0]] == ["imu", "valid"]
    assert "No encoder: nothing was embedded." in card
    assert "video-embeddings" not in head_of(card)["tags"]
    assert "--objective simclr" in card
