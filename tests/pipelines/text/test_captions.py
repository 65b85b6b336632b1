from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.text.captions import Captions, Cue, parse_srt, parse_webvtt, read_captions
from schemas.errors import SchemaError

MS = 1_000_000


def cue(start_ms: int, end_ms: int, text: str) -> Cue:
    return Cue(start_ns=start_ms * MS, end_ns=end_ms * MS, text=text)


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        pytest.param(
            "WEBVTT\n\n00:01.000 --> 00:02.500\nC cuts\n", [(1000, 2500, "C cuts")], id="short"
        ),
        pytest.param("WEBVTT", [], id="header_only"),
        pytest.param(
            "WEBVTT - a title\n\n01:02:03.004 --> 01:02:04.000\nx",
            [(3_723_004, 3_724_000, "x")],
            id="hours",
        ),
        pytest.param(
            "WEBVTT\n\n100:00:00.000 --> 100:00:01.000\nx",
            [(360_000_000, 360_001_000, "x")],
            id="many_hours",
        ),
        pytest.param(
            "\ufeffWEBVTT\r\n\r\n00:00.000 --> 00:01.000\r\none\r\ntwo\r\n",
            [(0, 1000, "one two")],
            id="bom_crlf_lines",
        ),
        pytest.param(
            "WEBVTT\n\nintro\n00:01.000 --> 00:02.000 align:left position:10%\nx",
            [(1000, 2000, "x")],
            id="identifier_settings",
        ),
        pytest.param(
            "WEBVTT\n\n00:01.000 --> 00:02.000\n"
            "<v Ann>C <i>cuts</i> <00:01.500>&amp; <c.red>dices</c></v>",
            [(1000, 2000, "C cuts & dices")],
            id="tags_entities",
        ),
        pytest.param(
            "WEBVTT\n\n00:01.000 --> 00:02.000\n3 &lt; 4",
            [(1000, 2000, "3 < 4")],
            id="entity_is_no_tag",
        ),
        pytest.param(
            "WEBVTT\n\nNOTE 00:01.000 --> 00:02.000\n\nSTYLE\n::cue {}\n\nREGION\nid:a\n\n"
            "00:01.000 --> 00:02.000\nx",
            [(1000, 2000, "x")],
            id="notes",
        ),
        pytest.param(
            "WEBVTT\n\n\n \n00:01.000 --> 00:02.000\nx\n\n\n\n00:02.000 --> 00:03.000\ny\n\n",
            [(1000, 2000, "x"), (2000, 3000, "y")],
            id="empty_lines",
        ),
    ],
)
def test_webvtt_cues(text: str, cues: list[tuple[int, int, str]]) -> None:
    assert parse_webvtt(text) == Captions(cues=tuple(cue(*c) for c in cues), problems=())


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        pytest.param(
            "1\n00:00:01,000 --> 00:00:02,500\nC cuts\n", [(1000, 2500, "C cuts")], id="plain"
        ),
        pytest.param("", [], id="empty"),
        pytest.param("00:00:01,000 --> 00:00:02,000\nx", [(1000, 2000, "x")], id="no_number"),
        pytest.param(
            "1\r\n1:02:03,004 --> 1:02:04,000\r\nx\r\n\r\n2\r\n01:02:04.000 --> 01:02:05.000\r\ny",
            [(3_723_004, 3_724_000, "x"), (3_724_000, 3_725_000, "y")],
            id="crlf_and_points",
        ),
        pytest.param(
            '\ufeff1\n00:00:00,000 --> 00:00:01,000\n{\\an8}<i>C</i> <font color="red">cuts</font>',
            [(0, 1000, "C cuts")],
            id="tags",
        ),
        pytest.param(
            "1\n00:00:00,000 --> 00:00:01,000\n3 < 4", [(0, 1000, "3 < 4")], id="less_than"
        ),
    ],
)
def test_srt_cues(text: str, cues: list[tuple[int, int, str]]) -> None:
    assert parse_srt(text) == Captions(cues=tuple(cue(*c) for c in cues), problems=())


@pytest.mark.parametrize(
    ("block", "kind", "message"),
    [
        pytest.param(
            "00:03.000 -> 00:04.000\nx", "timing", "START --> END, got '00:03.000 ->", id="arrow"
        ),
        pytest.param(
            "00:61.000 --> 00:04.000\nx", "timing", "HH:MM:SS.mmm, got '00:61.000", id="seconds"
        ),
        pytest.param(
            "00:03,000 --> 00:04,000\nx", "timing", "HH:MM:SS.mmm, got '00:03,000", id="srt_comma"
        ),
        pytest.param("00:03.000 -->\nx", "timing", "HH:MM:SS.mmm", id="no_end"),
        pytest.param(
            "00:03.000 --> 00:03.000\nx", "order", "end must come after start", id="no_length"
        ),
        pytest.param(
            "00:04.000 --> 00:03.000\nx", "order", "end must come after start", id="backwards"
        ),
        pytest.param(
            "00:03.000 --> 00:04.000\n<i></i> ",
            "empty",
            "must have words, got none at 00:03.000",
            id="no_words",
        ),
    ],
)
def test_broken_cue_is_named_and_the_others_are_read(block: str, kind: str, message: str) -> None:
    text = f"WEBVTT\n\n00:01.000 --> 00:02.000\na\n\n{block}\n\n00:05.000 --> 00:06.000\nb"
    captions = parse_webvtt(text)
    assert captions.cues == (cue(1000, 2000, "a"), cue(5000, 6000, "b"))
    (problem,) = captions.problems
    assert problem.loc == "cue 2"
    assert problem.kind == kind
    assert message in problem.message


@pytest.mark.parametrize("text", ["", "WEBVTTX\n\n00:01.000 --> 00:02.000\nx", "1\n00:00:01,000"])
def test_webvtt_without_its_header_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="line 1: must be WEBVTT, got"):
        parse_webvtt(text)


def test_file_is_read_by_its_suffix(tmp_path: Path) -> None:
    vtt, srt = tmp_path / "a.VTT", tmp_path / "a.srt"
    vtt.write_bytes("\ufeffWEBVTT\n\n00:01.000 --> 00:02.000\nC cuts a jalapeño".encode())
    srt.write_bytes(b"1\n00:00:01,000 --> 00:00:02,000\nC cuts")
    assert read_captions(vtt).cues == (cue(1000, 2000, "C cuts a jalapeño"),)
    assert read_captions(srt).cues == (cue(1000, 2000, "C cuts"),)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nC cuts a jalapeño".encode("latin-1"))
    with pytest.raises(SchemaError, match=r"a\.srt: must be UTF-8"):
        read_captions(path)


@pytest.mark.parametrize("parse", [parse_srt, parse_webvtt])
def test_hours_beyond_any_clip_are_problems(parse: Callable[[str], Captions]) -> None:
    hours = "9" * 30
    captions = parse(f"WEBVTT\n\n{hours}:00:01.000 --> {hours}:00:02.000\nopens\n")
    assert captions.cues == ()
    assert {problem.kind for problem in captions.problems} == {"timing"}
