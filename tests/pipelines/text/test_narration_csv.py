from pathlib import Path

import pytest

from pipelines.text.captions import Cue
from pipelines.text.narration_csv import parse_narration_csv, read_narration_csv
from schemas.errors import SchemaError

S = 1_000_000_000


def cue(start_s: float, end_s: float, text: str) -> Cue:
    return Cue(start_ns=round(start_s * S), end_ns=round(end_s * S), text=text)


def test_stretches_and_further_columns() -> None:
    found = parse_narration_csv(
        'who,start_s,end_s,text\r\nA,1.5,3.25,"C cuts, twice"\r\n\r\nB,0.001,2,C  walks\r\n'
    )
    assert found.cues == (cue(1.5, 3.25, "C cuts, twice"), cue(0.001, 2, "C walks"))
    assert found.problems == ()


def test_instants_start_and_end_at_once() -> None:
    found = parse_narration_csv("t_s, text\n12.3456789,C looks\n0,C stands\n-1,C waits")
    assert found.cues == (
        Cue(start_ns=12_345_678_900, end_ns=12_345_678_900, text="C looks"),
        Cue(start_ns=0, end_ns=0, text="C stands"),
        Cue(start_ns=-S, end_ns=-S, text="C waits"),
    )


def test_stretches_come_before_instants() -> None:
    found = parse_narration_csv("t_s,start_s,end_s,text\n9,1,2,C cuts")
    assert found.cues == (cue(1, 2, "C cuts"),)


def test_sentences_may_hold_quotes_and_line_breaks() -> None:
    found = parse_narration_csv('t_s,text\n1,"C says ""now""\nand goes"\n2,C stops')
    assert [c.text for c in found.cues] == ['C says "now" and goes', "C stops"]


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ("one,2,C cuts", "timing", "must have times in seconds, got 'one', '2'"),
        (",2,C cuts", "timing", "must have times in seconds, got '', '2'"),
        ("nan,2,C cuts", "timing", "must have times in seconds"),
        ("1,inf,C cuts", "timing", "must have times in seconds"),
        ("2,2,C cuts", "order", "end must come after start"),
        ("3,2,C cuts", "order", "end must come after start, got '3', '2'"),
        ("1,2,  ", "empty", "must have words, got none at '1'"),
        ("1,2", "empty", "must have words"),
        ("1", "timing", "must have times in seconds"),
    ],
)
def test_broken_row_stops_no_other(row: str, kind: str, message: str) -> None:
    found = parse_narration_csv(f"start_s,end_s,text\n0,1,C sits\n{row}\n4,5,C stands")
    assert [c.text for c in found.cues] == ["C sits", "C stands"]
    (problem,) = found.problems
    assert (problem.loc, problem.kind) == ("line 3", kind)
    assert message in problem.message


@pytest.mark.parametrize("text", ["", "start_s,text\n1,C cuts", "t_s\n1", "1,2,C cuts"])
def test_other_columns_are_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="columns must be start_s, end_s, text or t_s, text"):
        parse_narration_csv(text)


def test_columns_alone_hold_no_cue() -> None:
    assert parse_narration_csv("t_s,text\n").cues == ()


def test_quotes_that_never_end_are_refused() -> None:
    with pytest.raises(SchemaError, match="must be CSV, got"):
        parse_narration_csv('t_s,text\n1,"C cuts')


def test_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufefft_s,text\n1,C säubert 你\n".encode())
    assert read_narration_csv(path).cues == (cue(1, 1, "C säubert 你"),)


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"t_s,text\n1,C s\xe4ubert\n")
    with pytest.raises(SchemaError, match="must be UTF-8, got invalid continuation byte"):
        read_narration_csv(path)


@pytest.mark.parametrize("seconds", ["1e10", "-1e300", "nan", "inf"])
def test_times_beyond_any_clip_are_problems(seconds: str) -> None:
    captions = parse_narration_csv(f"t_s,text\n{seconds},opens\n1,shuts\n")
    assert [cue.text for cue in captions.cues] == ["shuts"]
    assert [problem.kind for problem in captions.problems] == ["timing"]
