from pathlib import Path

import pytest

from primus_train.config import DataConfig, FitConfig, OptimConfig, make_fit_config, parse_objective
from schemas.errors import UsageError


def test_defaults_are_the_settled_ones() -> None:
    config = FitConfig()
    assert config.objective.terms == ("ss", "mm", "nn")
    assert (config.objective.alpha, config.objective.beta, config.objective.gamma) == (1, 1, 1)
    assert config.objective.direction == "one_way"
    assert config.objective.masked_neighbours == "none"
    assert config.objective.bank_size == 8192
    assert config.view.transforms == ("scaling", "time_reversal")
    assert (config.view.scaling_sigma, config.view.reversal_probability) == (0.25, 1)
    assert (config.view.jitter_sigma, config.view.pieces) == (0.1, 4)
    assert config.encoder.gru_axis == "channel"
    assert config.optim.learning_rate == 2e-4
    assert (config.epochs, config.data.batch_size) == (15, 64)


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("primus", ("ss", "mm", "nn")),
        ("simclr", ("ss",)),
        ("imu2clip", ("mm",)),
        ("nn", ("nn",)),
        ("nn+ss", ("ss", "nn")),
        ("mm+nn", ("mm", "nn")),
        ("ss+mm+nn", ("ss", "mm", "nn")),
    ],
)
def test_objectives_are_names_or_sums(name: str, terms: tuple[str, ...]) -> None:
    assert parse_objective(name) == {"terms": terms}


@pytest.mark.parametrize("name", ["clip", "ss+ss", "ss+", "", "primus+ss"])
def test_other_objectives_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"objective must be primus, .*supervised or a sum"):
        parse_objective(name)


@pytest.mark.parametrize(
    ("terms", "neighbours", "finds_by", "representation"),
    [
        (["ss", "mm", "nn"], "auto", "video", "multimodal"),
        (["mm", "nn"], "auto", "video", "multimodal"),
        (["ss", "nn"], "auto", "imu", "backbone"),
        (["nn"], "auto", "imu", "backbone"),
        (["ss", "nn"], "video", "video", "backbone"),
        (["mm", "nn"], "imu", "imu", "multimodal"),
    ],
)
def test_neighbours_and_representation_follow_the_terms(
    terms: list[str], neighbours: str, finds_by: str, representation: str
) -> None:
    config = FitConfig.model_validate({"objective": {"terms": terms, "neighbours": neighbours}})
    assert config.objective.finds_by == finds_by
    assert config.objective.representation == representation


def test_file_then_flags_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("epochs: 3\nseed: 1\ndata: {batch_size: 8}\nview: {pieces: 2}\n")
    config = make_fit_config(
        file=file,
        flags={"seed": 2, "objective.terms": ("mm",)},
        overrides=["data.batch_size=16", "view.transforms=[jitter]", "data.permute_video=takes"],
    )
    assert (config.epochs, config.seed, config.data.batch_size) == (3, 2, 16)
    assert config.view.pieces == 2
    assert config.view.transforms == ("jitter",)
    assert config.objective.terms == ("mm",)
    assert config.data.permute_video == "takes"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", r"config field epoch: Extra inputs are not permitted, got 3"),
        ("epochs=0", r"config field epochs: .*greater than or equal to 1, got 0"),
        ("data.batch_size=one", r"config field data.batch_size: .*integer.*got 'one'"),
        ("objective.terms=[ss, ss]", r"config field objective.terms: .*must not repeat"),
        (
            "objective.drop_false_negatives=[overlap, overlap]",
            r"objective.drop_false_negatives: .*must not repeat",
        ),
        ("epochs", r"--set must be field=value, got 'epochs'"),
        ("epochs=[1", r"--set epochs must have a YAML value"),
        ("seed.x=1", r"config field seed: .*valid integer"),
    ],
)
def test_wrong_fields_are_named(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_fit_config(overrides=[override])


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="config file must exist"):
        make_fit_config(file=tmp_path / "no.yaml")
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(UsageError, match="must hold a mapping"):
        make_fit_config(file=tmp_path / "list.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UsageError, match="must be YAML"):
        make_fit_config(file=tmp_path / "bad.yaml")
    (tmp_path / "flat.yaml").write_text("data: 3")
    with pytest.raises(UsageError, match=r"data.batch_size lies under data, which is no group"):
        make_fit_config(file=tmp_path / "flat.yaml", overrides=["data.batch_size=4"])


def test_the_key_depends_on_version_mask_and_config() -> None:
    base = FitConfig()
    keys = {
        base.key(version="a", mask_sha256=None),
        base.key(version="b", mask_sha256=None),
        base.key(version="a", mask_sha256="m"),
        FitConfig(seed=1).key(version="a", mask_sha256=None),
    }
    keys |= {
        FitConfig(optim=OptimConfig(precision="bf16")).key(version="a", mask_sha256=None),
        FitConfig(optim=OptimConfig(compile="compile")).key(version="a", mask_sha256=None),
    }
    assert len(keys) == 6
    assert FitConfig().key(version="a", mask_sha256=None) in keys


def test_where_arrays_lie_is_no_part_of_the_key() -> None:
    keys = {
        FitConfig(data=DataConfig(load=load, place=place)).key(version="a", mask_sha256=None)
        for load in ("auto", "memory", "mapped")
        for place in ("auto", "host", "device")
    }
    assert keys == {FitConfig().key(version="a", mask_sha256=None)}
    other = FitConfig(data=DataConfig(batch_size=8)).key(version="a", mask_sha256=None)
    assert other not in keys
