import json
import re
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
from PIL import Image

from pipelines.parts.store import PartStore
from pipelines.report.examples import read_examples
from pipelines.report.html import write_report
from pipelines.stores.sealed import read_manifest
from schemas.errors import NewerFormatError, StoreNotFoundError

from .conftest import SECOND, HandmadeVersion, handmade_imu, segment_row

MakeVersion = Callable[..., HandmadeVersion]
NASTY = "<script>alert(1)</script>"
URL_ATTRIBUTES = {"src", "href", "action", "data", "poster", "srcset", "xlink:href"}


class Page(HTMLParser):
    """Collects tags, text by section, and whatever could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.urls: list[str] = []
        self.words: dict[str, str] = {}
        self._section = ""
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [value or "" for key, value in attrs if key in URL_ATTRIBUTES]
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.words[self._section] = self.words.get(self._section, "") + data + " "


def report(made: HandmadeVersion, *, pictures: bool = True, **options: int) -> Page:
    out = made.store.parent / "report.html"
    write_report(
        made.store,
        version=made.version,
        parts_root=made.parts_root if pictures else None,
        out=out,
        **options,
    )
    return Page(out.read_text())


def three_takes() -> list[dict[str, object]]:
    return [
        segment_row(segment_id="1" * 32),
        segment_row(segment_id="2" * 32, take_uid="b", take_name="take b", label="dance"),
        segment_row(
            segment_id="3" * 32,
            take_uid="c",
            take_name="take c",
            split="test",
            take_lag_ns=-120_000_000,
            clock_uncertainty_ns=33_333_333,
        ),
    ]


def test_page_tells_counts_reasons_and_alignment(make_version: MakeVersion) -> None:
    made = make_version(
        three_takes(),
        counts={
            "planned": 12,
            "dropped": {"imu_gap": 4},
            "quarantined": {"vrs_missing": 5},
            "quarantined_takes": {"vrs_missing": 1},
            "ignored": {"rejected_pass": 7},
        },
        quarantine=[
            {
                "dataset": "egoexo4d",
                "take_uid": "z",
                "take_name": "take z",
                "reason": "vrs_missing",
                "detail": "vrs must be there",
                "segments": 5,
            }
        ],
        meaning="random weights: no meaning",
    )
    words = report(made).words
    assert "3 of 12 planned" in words[""]
    assert "random weights: no meaning" in words[""]
    assert "dropped: imu_ gap 4" in words["funnel"]
    assert "quarantined: vrs_ missing 5" in words["funnel"]
    assert "rejected_ pass 7" in words["funnel"]
    assert "take z vrs_missing vrs must be there 5" in words["quarantine"]
    assert re.search(r"cooking 1 0 1 2 dance 1 0 0 1 all 2 0 1 3", words["labels"])
    table = words["alignment"].partition(" split segments ")[2]
    assert table.startswith("take c -120.0 - 0.75 - - 0.0 33.3 test 1 take a")
    assert "narration at +2.00 s" in words["examples"]


def test_page_shows_suspect_drifting_and_corrected_takes(make_version: MakeVersion) -> None:
    row = segment_row(
        take_lag_ns=-802_000_000,
        take_lag_confidence=0.91,
        take_lag_drift_ns=7_000_000,
        sync_suspect=True,
        imu_correction_ns=-800_000_000,
    )
    made = make_version([row, segment_row(take_uid="b", take_name="take b", imu_correction_ns=0)])
    words = report(made).words["alignment"]
    assert "take a -802.0 +7 0.75 0.91 suspect" in words
    assert "largest drift 7.0 ms" in words
    assert "suspect 1 takes beyond audit.suspect_ms" in words
    assert "corrected 1 takes" in words


def test_page_asks_nothing_of_the_network(make_version: MakeVersion) -> None:
    made = make_version(three_takes())
    page = report(made)
    assert page.urls
    assert all(url.startswith(("data:image/jpeg;base64,", "#")) for url in page.urls)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    text = (made.store.parent / "report.html").read_text()
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src &#x27;none&#x27;" in text


@pytest.mark.parametrize("column", ["take_name", "label", "text", "split", "segment_id"])
def test_words_of_the_data_are_never_markup(make_version: MakeVersion, column: str) -> None:
    made = make_version([segment_row(**{column: NASTY})])
    page = report(made)
    assert "script" not in page.tags
    assert NASTY in page.words["examples"]


def test_quarantine_and_encoder_words_are_never_markup(make_version: MakeVersion) -> None:
    row = {"dataset": "d", "take_uid": "z", "take_name": NASTY, "reason": "r", "detail": NASTY}
    made = make_version([segment_row()], quarantine=[row | {"segments": 0}], meaning=NASTY)
    page = report(made)
    assert "script" not in page.tags
    assert NASTY in page.words[""]
    assert page.words["quarantine"].count(NASTY) == 2


def test_stride_rows_need_no_words_label_or_person(make_version: MakeVersion) -> None:
    bare = dict.fromkeys(
        ("text", "text_raw", "text_source", "pass_uid", "narration_ns", "label", "participant")
    )
    nothing = dict.fromkeys(("split", "tokens", "take_lag_ns", "take_lag_r2", "imu_gap_ns"))
    made = make_version([segment_row(**bare, **nothing, has_text=False)])
    words = report(made).words
    assert "no sentence" in words["examples"]
    assert "no label 0 0 0 1 1" in words["labels"]
    assert "not known" in words[""]
    assert "cannot be told" in words["alignment"]


def test_without_parts_the_page_says_so(make_version: MakeVersion) -> None:
    made = make_version(three_takes())
    rmtree(made.parts_root)
    page = report(made, pictures=False)
    assert "img" not in page.tags
    assert page.words["examples"].count("No pictures: there is no parts folder.") == 3


def test_parts_are_found_in_the_store(make_version: MakeVersion) -> None:
    made = make_version(three_takes())
    assert report(made, pictures=False).tags.count("img") == 15


def test_parts_are_found_where_the_run_record_says(make_version: MakeVersion) -> None:
    made = make_version(three_takes())
    elsewhere = made.parts_root.rename(made.store.parent / "elsewhere")
    path = made.store / "versions" / made.version / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parts_uri": str(elsewhere)}))
    assert report(made, pictures=False).tags.count("img") == 15


def test_without_a_run_record_there_are_no_pictures_but_a_page(make_version: MakeVersion) -> None:
    page = report(make_version(three_takes(), run=False))
    assert "img" not in page.tags
    assert "names no frames part" in page.words["examples"]
    assert "No run record" in page.words["making"]


def test_missing_part_is_named_on_the_page(make_version: MakeVersion) -> None:
    made = make_version([segment_row()])
    path = PartStore(made.parts_root).path("frames", "0" * 64)
    path.unlink()
    page = report(made)
    assert "img" not in page.tags
    assert "part must be there" in page.words["examples"]


def test_pictures_lie_inside_the_segment(make_version: MakeVersion) -> None:
    made = make_version([segment_row(start_ns=3 * SECOND, end_ns=8 * SECOND)])
    page = report(made)
    pictures = [url for url in page.urls if url.startswith("data:")]
    assert len(pictures) == 5
    reds = []
    for url in pictures:
        with Image.open(BytesIO(b64decode(url.partition(",")[2]))) as image:
            red, _, _ = image.convert("RGB").getpixel((48, 48))
            reds.append(red)
    # Grid frame i is half a second on and 12 i red; thumbnails stand on full seconds 3 to 7.
    assert reds == pytest.approx([72, 96, 120, 144, 168], abs=4)


def test_traces_are_those_of_the_rows_shown(make_version: MakeVersion) -> None:
    imu = handmade_imu(3)
    imu[2, 3] = 42.0
    page = report(make_version(three_takes(), imu=imu))
    assert "gyro x  42 to 42 rad/s" in page.words["examples"]
    assert page.words["examples"].count("accel z  -3 to 3 m/s2") == 3


def test_row_without_imu_has_no_trace(make_version: MakeVersion) -> None:
    page = report(make_version([segment_row(has_imu=False, imu_gap_ns=None)]))
    assert "polyline" not in page.tags
    assert "This segment has no IMU." in page.words["examples"]


def test_long_tables_are_cut(make_version: MakeVersion) -> None:
    rows = [
        segment_row(take_uid=f"{i:02d}", take_name=f"take {i:02d}", take_lag_ns=i * 1_000_000)
        for i in range(9)
    ]
    words = report(make_version(rows), rows=4, details=2).words
    assert "4 of 9 takes, largest lag first" in words["alignment"]
    assert "take 05" in words["alignment"]
    assert "take 04" not in words["alignment"]
    assert "4 of 9 segments" in words["segments"]
    assert words["segments"].count("stirs the pot") == 4
    assert "2 segments, drawn at random" in words["examples"]


def test_report_is_the_same_each_time_and_reports_progress(make_version: MakeVersion) -> None:
    made = make_version(three_takes())
    seen: list[tuple[int, int]] = []
    outs = [made.store.parent / name for name in ("one.html", "two.html")]
    for out in outs:
        write_report(
            made.store,
            version=made.version,
            parts_root=made.parts_root,
            out=out,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2


def test_examples_carry_the_stored_windows(make_version: MakeVersion) -> None:
    rows = [segment_row(segment_id=f"{i:032d}") for i in range(5)]
    imu = np.arange(5, dtype=np.float32)[:, None, None] + np.zeros((5, 6, 250), np.float32)
    made = make_version(rows, imu=imu)
    folder = made.store / "versions" / made.version
    got = list(
        read_examples(
            folder,
            table=folder / "segments.parquet",
            imu=read_manifest(made.store, made.version).imu,
            rows=(1, 4),
            parts=None,
            frames_keys={},
        )
    )
    assert [e.segment["segment_id"] for e in got] == [f"{i:032d}" for i in (1, 4)]
    for example, value in zip(got, (1, 4), strict=True):
        assert example.imu is not None
        assert example.imu.shape == (6, 250)
        assert (example.imu == value).all()


def test_unknown_version_is_refused(make_version: MakeVersion, tmp_path: Path) -> None:
    made = make_version([segment_row()])
    with pytest.raises(StoreNotFoundError, match="version ffff must exist"):
        write_report(made.store, version="ffff", parts_root=None, out=tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_newer_format_is_refused(make_version: MakeVersion, tmp_path: Path) -> None:
    made = make_version([segment_row()], format_version=2)
    with pytest.raises(NewerFormatError, match=r"format_version must be at most 1 .* got 2"):
        write_report(made.store, version=made.version, parts_root=None, out=tmp_path / "r.html")
