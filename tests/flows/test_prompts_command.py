"""Sentences of classes, embedded by a tiny encoder of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest

from flows.cli import main
from pipelines.config import EncoderConfig
from pipelines.encoders.make_encoder import make_encoder
from pipelines.encoders.registry import open_encoder
from pipelines.segments.labels import EGOEXO4D_LABELS
from schemas.prompts import PromptSet


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(folder, preset="tiny", seed=2)
    return folder


def test_a_dataset_stands_for_its_labels_and_embeddings_are_the_encoders(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "prompts.json"
    asked = ["embed-prompts", "--encoder", str(encoder), "--out", str(out), "--device", "cpu"]
    assert main([*asked, "--labels", "egoexo4d,juggle", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["classes"]) == [*EGOEXO4D_LABELS, "juggle"]
    assert report["from_templates"] == ["juggle"]
    found = PromptSet.model_validate_json(out.read_bytes())
    assert len(found.prompts) == sum(report["classes"].values()) == 45
    opened = open_encoder(EncoderConfig(name=str(encoder), device="cpu"))
    assert opened is not None
    assert found.encoder == opened.spec
    for one in (found.prompts[0], found.prompts[-1]):
        assert np.array_equal(np.float32(one.embedding), opened.encode_texts([one.prompt])[0])
    before = out.read_bytes()
    assert main([*asked, "--labels", "egoexo4d,juggle"]) == 0
    assert out.read_bytes() == before
    said = capsys.readouterr().out
    assert "45 sentences of 9 classes" in said
    assert "from templates, as we have none: juggle" in said


def test_own_sentences_come_from_yaml(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("cook: [fries an egg, boils water]\nswim: [dives]\n")
    asked = ["embed-prompts", "--encoder", str(encoder), "--out", str(tmp_path / "p.json")]
    assert main([*asked, "--sentences", str(tmp_path / "mine.yaml"), "--labels", "dance"]) == 0
    capsys.readouterr()
    found = PromptSet.model_validate_json((tmp_path / "p.json").read_bytes())
    assert [one.prompt for one in found.of("cook")] == ["fries an egg", "boils water"]
    assert found.labels == ("cook", "dance", "swim")


@pytest.mark.parametrize(
    ("more", "text", "message"),
    [
        pytest.param([], None, "classes must have names and be at least one", id="nothing"),
        pytest.param(["--labels", "a,,b"], None, "classes must have names", id="empty"),
        pytest.param(["--sentences"], "cook: stirs", "a list of sentences for each", id="no_list"),
        pytest.param(["--sentences"], "cook: [1]", "a list of sentences for each", id="number"),
        pytest.param(["--sentences"], "cook: [", "must be YAML or JSON", id="broken"),
        pytest.param(["--sentences"], None, "must be a file, none found", id="absent"),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    text: str | None,
    message: str,
) -> None:
    file = tmp_path / "mine.yaml"
    if text is not None:
        file.write_text(text)
    given = [*more, str(file)] if more == ["--sentences"] else more
    asked = ["embed-prompts", "--encoder", "none", "--out", str(tmp_path / "p.json")]
    assert main([*asked, *given]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "p.json").exists()


def test_no_encoder_has_no_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["embed-prompts", "--encoder", "none", "--out", str(tmp_path / "p.json")]
    assert main([*asked, "--labels", "cook"]) == 2
    assert "needs an encoder, got none" in capsys.readouterr().err
