from pathlib import Path

import torch

from primus_train.data.facts import (
    END_NS,
    FACTS,
    LABEL,
    SENTENCE,
    START_NS,
    TAKE,
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


def test_of_a_window_from_no_store_nothing_is_known() -> None:
    assert torch.equal(unknown_facts(3), torch.full((3, FACTS), -1))
