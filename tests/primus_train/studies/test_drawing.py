import io
import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from primus_train.objectives.multitask import TASKS
from primus_train.studies.drawing import draw_grids
from primus_train.studies.grids import make_grids
from primus_train.studies.settings import StudySettings

Row = Callable[..., dict[str, Any]]
Cheap = Callable[..., StudySettings]


def curves(row: Row, cheap: Cheap, *, base: float = 0.6) -> dict[Any, bytes]:
    rows = [
        row(title=title, shots=shots, accuracies=[base + i / 10 + shots / 500, base])
        for i, title in enumerate(("PRIMUS", "SimCLR"))
        for shots in (1, 10)
    ]
    rows.append(row(title="SS+NN", shots=1, accuracies=[0.25, 0.26], collapsed=True))
    rows.append(row(title="SS+NN", shots=10, accuracies=[], collapsed=True, reason="too few"))
    return draw_grids(make_grids(rows, settings=cheap("baselines", "a")))


@pytest.mark.slow
def test_a_figure_is_the_same_bytes_and_depends_on_its_numbers(row: Row, cheap: Cheap) -> None:
    first, again, other = (curves(row, cheap, base=base) for base in (0.6, 0.6, 0.5))
    assert first == again
    assert first["pdf"] != other["pdf"]
    assert first["png"] != other["png"]


@pytest.mark.slow
def test_a_pdf_embeds_truetype_fonts_and_tells_no_date(row: Row, cheap: Cheap) -> None:
    image = pytest.importorskip("PIL.Image")
    made = curves(row, cheap)
    pdf = made["pdf"]
    assert pdf.startswith(b"%PDF")
    # What is compressed is read too: there the fonts' own descriptions may lie.
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, flags=re.DOTALL)
    plain = pdf + b"".join(zlib.decompressobj().decompress(s) for s in streams if s[:1] == b"x")
    assert b"/FontFile2" in plain
    assert b"/Subtype /Type3" not in plain
    assert b"/CreationDate" not in pdf
    picture = image.open(io.BytesIO(made["png"]))
    assert picture.info.get("Software") is None
    assert min(picture.size) >= 500


@pytest.mark.slow
def test_pairs_are_a_heat_map_with_one_framed(row: Row, cheap: Cheap) -> None:
    rows = [
        row(transforms=[a, b], title=f"{a}+{b}", shots=10, accuracies=[0.3 + i / 50, 0.3 + j / 40])
        for i, a in enumerate(TASKS)
        for j, b in enumerate(TASKS)
        if i < j
    ]
    grids = make_grids(rows, settings=cheap("augmentations", "a", shots=(10,)))
    plain = draw_grids(grids)
    framed = draw_grids(grids, marked=("time reversal", "scaling"))
    assert plain["png"] != framed["png"]
    assert framed["png"] != draw_grids(grids, marked=("rotation", "scaling"))["png"]


@pytest.mark.slow
def test_a_study_of_which_nothing_could_be_made_is_drawn(row: Row, cheap: Cheap) -> None:
    nothing = {"accuracies": [], "n": None, "classes": None, "chance": None, "reason": "lost"}
    for study, fields in (
        ("baselines", {}),
        ("data-efficiency", {"share": 0.5}),
        ("augmentations", {"transforms": ["jitter", "scaling"]}),
    ):
        rows = [row(**nothing, **fields)]
        made = draw_grids(make_grids(rows, settings=cheap(study, "a", shots=(1,))))
        assert made["png"].startswith(b"\x89PNG")
