from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from primus_train.data.facts import (
    END_NS,
    FACTS,
    LABEL,
    SENTENCE,
    START_NS,
    TAKE,
    WINDOW,
    read_facts,
    unknown_facts,
)
from primus_train.data.store import open_store


def test_facts_are_the_tables_columns_by_number(toy_store: Path) -> None:
    store = open_store(f"{toy_store}@latest")
    facts = read_facts(store)
    rows = store.table.to_pylist()
    labels = sorted({row["label"] for row in rows if row["label"] is not None})
    assert list(facts.classes) == labels
    assert facts.values.shape == (len(rows), FACTS)
    takes: dict[int, set[str]] = {}
    sentences: dict[int, set[str]] = {}
    for row, values in zip(rows, facts.values.tolist(), strict=True):
        label = values[LABEL]
        assert (None if label < 0 else facts.classes[label]) == row["label"]
        assert (values[START_NS], values[END_NS]) == (row["start_ns"], row["end_ns"])
        takes.setdefault(values[TAKE], set()).add(row["take_uid"])
        sentences.setdefault(values[SENTENCE], set()).add(row["text"])
    # One number is one name, and one name one number.
    assert all(len(names) == 1 for names in takes.values())
    assert len(takes) == len({row["take_uid"] for row in rows})
    assert all(len(texts) == 1 for texts in sentences.values())
    assert len(sentences) == len({row["text"] for row in rows})


def test_a_window_has_one_number_whatever_is_said_about_it(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def repeat(data: dict[str, Any]) -> None:
        # Of each take, rows 1 and 2 show one window; row 3 ends with it and begins a little later.
        for i, row in enumerate(data["rows"]):
            start_ns, end_ns = (data["rows"][i - i % 4 + 1][n] for n in ("start_ns", "end_ns"))
            if i % 4 >= 2:
                row |= {"start_ns": start_ns + i % 4 - 2, "end_ns": end_ns}

    store_writer(tmp_path / "store", takes=("train-0", "train-1"), per_take=4, change=repeat)
    store = open_store(f"{tmp_path / 'store'}@latest")
    window = read_facts(store).values[:, WINDOW].tolist()
    spans = [(r["take_uid"], r["start_ns"], r["end_ns"]) for r in store.table.to_pylist()]
    for a, span in zip(window, spans, strict=True):
        for b, other in zip(window, spans, strict=True):
            assert (a == b) == (span == other)
    assert len(set(window)) == 6


def test_of_a_window_from_no_store_nothing_is_known() -> None:
    assert torch.equal(unknown_facts(3), torch.full((3, FACTS), -1))
