import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from primus_train.cli import main
from tests.primus_train.prompt_files import write_prompts

SMALL = ["--set", "objective.bank_size=16", "--set", "epochs=1", "--set", "data.batch_size=12"]


def fit_arguments(store: Path, out: Path, *more: str) -> list[str]:
    return ["fit", "--store", str(store), "--out", str(out), "--device", "cpu", *SMALL, *more]


@pytest.fixture(scope="module")
def run(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    assert main(fit_arguments(toy_store, out)) == 0
    return out


def out_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    report: dict[str, Any] = json.loads(text)
    return report


def test_fit_prints_one_json_object_and_reuses(
    toy_store: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit_arguments(toy_store, run, "--json")) == 0
    report = out_json(capsys)
    assert report["run"] == str(run)
    assert report["reused"] is True
    assert main(fit_arguments(toy_store, run)) == 0
    assert capsys.readouterr().out.startswith("reused: ")


def test_fit_says_where_the_arrays_are(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit_arguments(toy_store, tmp_path, "--set", "data.load=mapped", "--json")) == 0
    captured = capsys.readouterr()
    assert "store: 0.00 GB of arrays left on disk, memory-mapped, as asked\n" in captured.err
    assert json.loads(captured.out)["arrays"] == "mapped"


def test_fit_takes_objective_mask_seed_and_file(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("optim: {learning_rate: 0.001}\nseed: 9\n")
    more = ["--objective", "imu2clip", "--mask", "half", "--seed", "5", "--json"]
    arguments = fit_arguments(
        toy_store, tmp_path / "run", *more, "--config", str(tmp_path / "c.yaml")
    )
    assert main(arguments) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["objective"] == "mm"
    assert report["store"]["mask"] == "half"
    assert report["seed"] == 5
    assert report["config"]["optim"]["learning_rate"] == 0.001
    assert "fit: 2/2 steps" in captured.err


@pytest.mark.slow
def test_probe_prints_a_table_or_json(
    toy_store: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["probe", "--checkpoint", str(run), "--store", f"{toy_store}@latest"]
    arguments = [*base, "--shots", "1,3,13", "--trials", "2", "--out", str(tmp_path / "p")]
    assert main([*arguments, "--json"]) == 0
    report = out_json(capsys)
    assert [row["accuracy"] is None for row in report["rows"]] == [False, False, True]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "test    13 shots: accuracy n/a" in text
    assert "fewer than 13 train windows: cook (12), dance (12)" in text
    nearest = ["--protocol", "knn", "--shots-by", "take", "--shots", "2", "--trials", "1"]
    assert main([*base, *nearest, "--out", str(tmp_path / "k")]) == 0
    text = capsys.readouterr().out
    assert "knn on multimodal, 2 classes" in text
    assert "macro-F1" in text
    untrained = [*base, "--untrained", "--shots", "1", "--trials", "1", "--json"]
    assert main([*untrained, "--out", str(tmp_path / "u"), "--eval-splits", "val,test"]) == 0
    report = out_json(capsys)
    assert (report["encoder"], report["representation"]) == ("untrained", "backbone")
    assert [row["split"] for row in report["rows"]] == ["val", "test"]


def test_retrieve_prints_scores_with_n_and_chance(
    toy_store: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["retrieve", "--checkpoint", str(run), "--store", str(toy_store)]
    assert main([*arguments, "--splits", "val,test", "--json"]) == 0
    report = out_json(capsys)
    assert report["imu_to_video"]["n"] == 24
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "n 12, chance 8.3 %" in said
    assert "text_to_imu: R@1 " in said
    assert "6 queries, n 12, chance 16.7 %" in said
    assert "  alignment: imu_video " in said
    assert "  uniformity: imu -" in said


def test_zeroshot_prints_a_table_or_json_and_says_what_it_saw(
    toy_store: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = write_prompts(tmp_path / "p.json", {"cook": [[1.0], [2.0]], "dance": [[0, 1.0]]})
    base = ["zeroshot", "--checkpoint", str(run), "--store", str(toy_store)]
    given = ["--prompts", str(prompts), "--splits", "val,test", "--classes", "cook,dance"]
    assert main([*base, *given, "--out", str(tmp_path / "z"), "--json"]) == 0
    report = out_json(capsys)
    assert [row["split"] for row in report["rows"]] == ["val", "test"]
    assert main([*base, *given, "--out", str(tmp_path / "z")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("reused: ")
    assert "zero-shot from 3 prompts, 2 classes" in said
    assert "n 12, chance 50.0 %" in said
    assert main([*base, "--out", str(tmp_path / "n")]) == 0
    said = capsys.readouterr().out
    assert "zero-shot from 24 narrations of labelled train segments" in said


@pytest.mark.slow
def test_a_probes_head_may_start_from_prompts(
    toy_store: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = write_prompts(tmp_path / "p.json", {"cook": [[1.0]], "dance": [[0, 1.0]]})
    base = ["probe", "--checkpoint", str(run), "--store", str(toy_store), "--protocol", "published"]
    given = ["--shots", "1", "--trials", "1", "--json"]
    heads = []
    for name, more in (("a", []), ("b", ["--prompts", str(prompts)])):
        assert main([*base, *given, *more, "--out", str(tmp_path / name)]) == 0
        heads.append(out_json(capsys)["head"])
    assert heads == ["random", "prompts"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["fit"], 2, "the following arguments are required", id="missing"),
        pytest.param(["studies"], 2, "invalid choice: 'studies'", id="command"),
        pytest.param(
            ["fit", "--store", "/absent", "--out", "{}"], 2, "existing folder", id="store"
        ),
        pytest.param(
            ["fit", "--store", "{}", "--out", "{}/r", "--objective", "clip"],
            2,
            "objective must be primus",
            id="objective",
        ),
        pytest.param(
            ["fit", "--store", "{}", "--out", "{}/r", "--set", "epoch=1"],
            2,
            "config field epoch: Extra inputs",
            id="set",
        ),
        pytest.param(
            ["probe", "--checkpoint", "{}", "--store", "{}", "--out", "{}", "--trials", "0"],
            2,
            "--trials: Input should be greater than or equal to 1, got 0",
            id="trials",
        ),
        pytest.param(
            ["probe", "--checkpoint", "{}", "--store", "{}", "--out", "{}", "--shots", "a"],
            2,
            "must be whole numbers, got 'a'",
            id="shots",
        ),
        pytest.param(
            ["probe", "--checkpoint", "{}", "--store", "{}", "--out", "{}", "--shots-by", "a"],
            2,
            "--shots-by: Input should be 'segment' or 'take', got 'a'",
            id="shots_by",
        ),
        pytest.param(
            ["retrieve", "--checkpoint", "{}", "--store", "{}", "--splits", "dev"],
            2,
            "--splits must be among train, val, test, got 'dev'",
            id="splits",
        ),
        pytest.param(
            ["retrieve", "--checkpoint", "{}", "--store", "{}"], 2, "with best.pt", id="checkpoint"
        ),
        pytest.param(
            ["zeroshot", "--checkpoint", "{}", "--store", "{}", "--out", "{}", "--splits", "dev"],
            2,
            "--splits must be among train, val, test, got 'dev'",
            id="zeroshot_splits",
        ),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert main([a.format(tmp_path) for a in arguments]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_failure_is_code_1_with_a_traceback_only_on_request(
    toy_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.pt").write_bytes(b"junk")
    arguments = ["retrieve", "--checkpoint", str(tmp_path), "--store", str(toy_store)]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "checkpoint must hold tensors and JSON" in captured.err
    assert main([*arguments, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("fit", "probe", "zeroshot", "retrieve", "lineage"):
        for arguments in (["--help"], [command, "--help"]):
            assert main(arguments) == 0
            examples = capsys.readouterr().out.partition("examples:")[2]
            assert f"primus-train {command} " in examples


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; from primus_train.cli import main; main(['--help']);"
        "heavy = {'torch', 'zarr', 'pyarrow', 'numpy', 'matplotlib', 'pydantic'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
