import io
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from primus_train import load_encoder
from primus_train.cli import main
from primus_train.encoders.stacked_rnn import StackedRnn
from primus_train.interchange import portable
from primus_train.interchange.export import export_encoder
from primus_train.interchange.portable import EncoderGraph, dump_program
from schemas.errors import PrimusError, StoreNotFoundError, UsageError
from tests.primus_train.interchange.published_encoders import make_published, windows

BATCHES = (1, 3, 17)

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import json
import numpy as np
import onnxruntime
folder = sys.argv[1]
session = onnxruntime.InferenceSession(folder + "/primus.onnx")
given = np.load(folder + "/given.npz", allow_pickle=False)
for name in given.files:
    np.save(folder + "/" + name, session.run(["embedding"], {"imu": given[name]})[0],
            allow_pickle=False)
told = session.get_modelmeta().custom_metadata_map["primus_train"]
shapes = [given.shape for given in session.get_inputs()]
assert not any(name.startswith("torch.") for name in sys.modules)
print(json.dumps({"meta": json.loads(told), "shape": shapes[0]}))
"""


@pytest.fixture(scope="module")
def onnx(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The imported run as ONNX, and what the command says of it."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("onnx")
    return folder, export_encoder(imported, kind="onnx", out=folder / "primus.onnx")


@pytest.mark.slow
def test_onnx_gives_the_published_embeddings_in_a_process_without_torch(
    onnx: tuple[Path, dict[str, Any]],
) -> None:
    folder, report = onnx
    given = {f"b{count}": windows(250, count=count, seed=count).numpy() for count in BATCHES}
    np.savez(folder / "given.npz", **given)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(folder)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    network = make_published("primus")
    for name, x in given.items():
        with torch.no_grad():
            wanted = network(torch.from_numpy(x))["multimodal"].numpy()
        got = np.load(folder / f"{name}.npy", allow_pickle=False)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4)
    said = json.loads(done.stdout)
    assert said["shape"][1:] == [6, 250]
    assert isinstance(said["shape"][0], str)  # a name: any number
    assert said["meta"]["representation"] == "multimodal"
    assert said["meta"]["imu"]["rate_hz"] == "50"
    assert report["largest_difference"] <= 1e-4
    assert report["bytes"] == (folder / "primus.onnx").stat().st_size


@pytest.mark.slow
def test_the_onnx_cards_way_to_load_works(
    onnx: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = onnx
    monkeypatch.chdir(folder)
    assert run_snippet(folder / "primus.onnx.md")["z"].shape == (1, 512)


def run_snippet(card: Path, **names: Any) -> dict[str, Any]:
    script = card.with_suffix(".py")
    script.write_text(card.read_text().partition("```python\n")[2].partition("```")[0])
    return runpy.run_path(str(script), init_globals=names)


@pytest.mark.slow
def test_a_program_gives_the_runs_embeddings_at_any_batch(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "simclr.pt2"
    report = export_encoder(trained, kind="torch", out=out)
    assert (report["representation"], report["format"]) == ("backbone", "torch")
    program = torch.export.load(out).module()
    enc = load_encoder(trained)
    for count in BATCHES:
        x = windows(250, count=count)
        wanted = enc(x.numpy(), rate_hz=50)
        np.testing.assert_allclose(program(x).detach().numpy(), wanted, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_another_encoder_exports_too() -> None:
    encoder = StackedRnn(channels=4, gru_axis="time", pooling="max").eval()
    graph = EncoderGraph(encoder, representation="unimodal")
    data, worst = dump_program(graph, channels=4, samples=300, meta={"told": 1})
    told = {"primus_train.json": ""}
    program = torch.export.load(io.BytesIO(data), extra_files=told).module()
    x = torch.randn(5, 4, 300, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(program(x), encoder(x).unimodal, rtol=0, atol=1e-4)
    assert worst <= 1e-4
    assert json.loads(told["primus_train.json"]) == {"told": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda z: z + 2e-4, r"agree with PyTorch to 0\.0001, they differ by 0\.0002", id="off"
        ),
        pytest.param(lambda z: z * torch.nan, "they differ by nan", id="nan"),
        pytest.param(lambda z: z[:, :5], r"shape \(1, 512\), got \(1, 5\)", id="shape"),
    ],
)
def test_a_file_that_differs_is_not_written(
    imported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[torch.Tensor], torch.Tensor],
    said: str,
) -> None:
    graphs: list[EncoderGraph] = []
    loaded = SimpleNamespace(module=lambda: lambda x: change(graphs[0](x)))
    monkeypatch.setattr(portable, "_capture", lambda graph, **_: graphs.append(graph))
    monkeypatch.setattr(torch.export, "save", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "load", lambda _: loaded)
    with pytest.raises(PrimusError, match=said):
        export_encoder(imported, kind="torch", out=tmp_path / "x.pt2")
    assert list(tmp_path.iterdir()) == []


def test_safetensors_come_back_as_the_same_encoder(
    trained: Path, tmp_path: Path, toy_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    out = tmp_path / "simclr.safetensors"
    report = export_encoder(trained, kind="safetensors", out=out, licence="CC-BY-4.0")
    x = windows(500).numpy()
    wanted = load_encoder(trained)(x, rate_hz=100)
    got = load_encoder(out)
    assert got.representation == "backbone"
    assert np.array_equal(got(x, rate_hz=100), wanted)
    unimodal = load_encoder(trained, representation="unimodal")(x, rate_hz=100)
    again = load_encoder(out, representation="unimodal")
    assert np.array_equal(again(x, rate_hz=100), unimodal)
    card = (tmp_path / "simclr.safetensors.md").read_text()
    record = json.loads((trained / "run.json").read_text())
    assert report["run"] == record["key"]
    assert card.startswith("---\nlicense: CC-BY-4.0\n")
    assert "not stated" not in card
    for row in (
        f"| store version | {record['store']['version']} |",
        "| mask | half |",
        "| objective | ss |",
        "| seed | 4 |",
        f"| best value | {record['best']['value']:.6g} |",
        f"| checkpoint SHA-256 | {report['checkpoint_sha256']} |",
        "| 0 | ax | m/s2 |",
        "| 5 | gz | rad/s |",
    ):
        assert f"{row}\n" in card
    config = json.loads(card.partition("```json\n")[2].partition("```")[0])
    assert config == record["config"]
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(run_snippet(Path("simclr.safetensors.md"), x=x)["z"], wanted)


def test_an_imported_runs_card_tells_only_what_is_known(imported: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    export_encoder(imported, kind="safetensors", out=tmp_path / "x.safetensors")
    card = (tmp_path / "x.safetensors.md").read_text()
    assert card.startswith("---\nlicense: \n")
    assert "The licence of these weights is not stated" in card
    assert "| imported from | primus.ckpt, layout primus, SHA-256 " in card
    assert "| seed |" not in card
    assert "store version" not in card
    config = json.loads(card.partition("```json\n")[2].partition("```")[0])
    assert sorted(config) == ["encoder", "objective"]


def test_a_file_that_is_there_stays_unless_asked(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors")
    out = tmp_path / "x.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"must be a new one, .*x\.safetensors is there"):
        export_encoder(imported, kind="safetensors", out=out)
    assert out.read_bytes() == b"mine"
    arguments = ["export", str(imported), "--format", "safetensors", "--out", str(out)]
    assert main([*arguments, "--overwrite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bytes"] == out.stat().st_size
    assert main([*arguments, "--overwrite"]) == 0
    captured = capsys.readouterr()
    assert "multimodal as safetensors, 5.5 MB, differs from PyTorch by 0.0e+00" in captured.out
    assert "export: reading the run\n" in captured.err


def test_wrong_endings_and_files_are_refused(imported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"format onnx must end in \.onnx, got .*x\.pt2"):
        export_encoder(imported, kind="onnx", out=tmp_path / "x.pt2")
    kind: Any = "pickle"
    with pytest.raises(UsageError, match="must be onnx, torch, safetensors, got 'pickle'"):
        export_encoder(imported, kind=kind, out=tmp_path / "x")
    with pytest.raises(StoreNotFoundError):
        export_encoder(tmp_path, kind="torch", out=tmp_path / "x.pt2")


def test_safetensors_of_another_program_are_refused(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    with pytest.raises(StoreNotFoundError, match="must be a file, none found"):
        load_encoder(tmp_path / "x.safetensors")
    library.save_file({"weight": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(PrimusError, match="must be what primus-train export wrote"):
        load_encoder(tmp_path / "x.safetensors")


def test_a_missing_library_names_the_extra(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"onnx must be installed .* 'primus-pipelines\[export\]'"):
        export_encoder(imported, kind="onnx", out=tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["export", "import-checkpoint"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"primus-train {command} " in capsys.readouterr().out.partition("examples:")[2]
