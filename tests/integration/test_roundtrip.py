"""What the pipelines publish is what the trainer reads: joined here, nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
import zarr

from flows.cli import main as prep
from flows.prepare import RunSummary, prepare
from pipelines.encoders.make_encoder import make_encoder
from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.loop import pretrain
from primus_train.prompts import average_prompts, read_prompts
from primus_train.reports import report_zeroshot
from schemas.errors import UsageError
from schemas.segment import SEGMENT_FIRST_COLUMNS, SEGMENT_SORT
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

MASKS = [
    {"name": "half", "keep": 0.5, "seed": 4},
    {"name": "tenth", "keep": 0.1, "seed": 4, "modalities": ["video"]},
]


@pytest.fixture(scope="module")
def published(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunSummary:
    store = tmp_path_factory.mktemp("roundtrip") / "store"
    # Sentences may be missing: rows without text must come through as masked, not as zeros.
    config = make_config(
        small_dataset,
        encoder=tiny_encoder,
        store=store,
        store__tag="v1",
        masks=MASKS,
        segments__require=["imu", "video"],
    )
    return prepare(config)


def test_the_trainer_sees_what_any_zarr_and_parquet_reader_sees(published: RunSummary) -> None:
    data = open_store(f"{published.store}@v1")
    folder = Path(published.store) / "versions" / published.version
    arrays = zarr.open_group(folder / "arrays.zarr", mode="r")
    table = pq.read_table(folder / "segments.parquet")
    assert data.version == published.version
    assert len(data) == table.num_rows == published.stored
    np.testing.assert_array_equal(data.imu.numpy(), np.asarray(arrays["imu"][:]))
    np.testing.assert_array_equal(
        data.video.float().numpy(), np.asarray(arrays["video"][:]).astype(np.float32)
    )
    np.testing.assert_array_equal(data.valid.numpy(), np.asarray(arrays["valid"][:]))
    assert tuple(table.column_names[: len(SEGMENT_FIRST_COLUMNS)]) == SEGMENT_FIRST_COLUMNS
    order = list(zip(*(table.column(name).to_pylist() for name in SEGMENT_SORT), strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize(("name", "hidden"), [("half", (1, 2)), ("tenth", (1,))])
def test_a_published_mask_hides_its_modalities_in_train_alone(
    published: RunSummary, name: str, hidden: tuple[int, ...]
) -> None:
    plain = open_store(f"{published.store}@v1")
    masked = open_store(f"{published.store}@v1", mask=name)
    path = Path(published.store) / "masks" / published.version / f"{name}.parquet"
    rows = {row["segment_id"]: row for row in pq.read_table(path).to_pylist()}
    train = np.array(plain.column("split")) == "train"
    for i, (segment, in_train) in enumerate(zip(plain.column("segment_id"), train, strict=True)):
        for modality, column in enumerate(("keep_imu", "keep_video", "keep_text")):
            keep = rows[segment][column] if segment in rows else True
            assert keep or (in_train and modality in hidden)
            expected = bool(plain.valid[i, modality]) and keep
            assert bool(masked.valid[i, modality]) == expected
    assert 0 < int(masked.valid[:, 1].sum()) < int(plain.valid[:, 1].sum())


def test_masks_of_one_seed_are_nested(published: RunSummary) -> None:
    kept = {
        name: open_store(f"{published.store}@v1", mask=name).valid[:, 1]
        for name in ("half", "tenth")
    }
    assert bool((kept["half"] | ~kept["tenth"]).all())


def test_prompts_lie_where_the_stores_sentences_do(
    published: RunSummary, tiny_encoder: Path, tmp_path: Path
) -> None:
    data = open_store(f"{published.store}@v1")
    texts, shown = data.column("text"), data.valid[:, 2].numpy()
    # Each sentence is a class of its own.
    said = {text: row for row, text in enumerate(texts) if shown[row]}
    (tmp_path / "said.yaml").write_text(yaml.safe_dump({text: [text] for text in said}))
    out = tmp_path / "prompts.json"
    embed = ["embed-prompts", "--encoder", str(tiny_encoder), "--precision", "float32"]
    assert prep([*embed, "--sentences", str(tmp_path / "said.yaml"), "--out", str(out)]) == 0
    prompts = read_prompts(out)
    assert prompts.encoder == data.manifest.encoder
    found = average_prompts(prompts)
    assert set(found) == set(said)
    assert len(said) >= 8
    for text, row in said.items():
        # The store keeps them in float16, once raw and once of unit norm.
        np.testing.assert_allclose(found[text], data.text[row].double().numpy(), atol=2e-3)
    unlike = [
        abs(found[text] - data.text[row].double().numpy()).max() for text, row in said.items()
    ]
    others = list(said.values())[1:] + list(said.values())[:1]
    mixed = [
        abs(found[text] - data.text[row].double().numpy()).max()
        for text, row in zip(said, others, strict=True)
    ]
    assert min(mixed) > 5 * max(unlike)


def test_both_programs_make_a_zero_shot_result(
    published: RunSummary, tiny_encoder: Path, tmp_path: Path
) -> None:
    store, out = f"{published.store}@v1", tmp_path / "prompts.json"
    small = ("objective.terms=[mm]", "epochs=1", "data.batch_size=16")
    pretrain(open_store(store), config=make_fit_config(overrides=small), out=tmp_path / "run")
    embed = ["embed-prompts", "--encoder", str(tiny_encoder), "--labels", "egoexo4d"]
    assert prep([*embed, "--out", str(out)]) == 0
    asked: dict[str, Any] = {"store": store, "splits": ("train",), "prompts": out}
    report = report_zeroshot(tmp_path / "run", out=tmp_path / "z", **asked)
    assert report["prompts"]["encoder"]["meaning"] is not None
    assert set(report["prompts"]["sentences"].values()) == {5}
    (row,) = report["rows"]
    assert np.sum(row["confusion"]) == row["n"] > 0
    assert 0 <= row["accuracy"] <= 1
    # Another encoder of the same size is refused, however alike its name is.
    other = tmp_path / tiny_encoder.name
    make_encoder(other, preset="tiny", seed=99)
    assert (
        prep(["embed-prompts", "--encoder", str(other), "--labels", "egoexo4d", "--out", str(out)])
        == 0
    )
    with pytest.raises(UsageError, match="prompts must be embedded by the encoder of the pretrain"):
        report_zeroshot(tmp_path / "run", out=tmp_path / "y", **asked)
