"""What the code may never do, read from the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "pipelines", "flows", "primus_train", "benchmarks")
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
# Modules that run what is stored in their files; of pickle the name of one error is harmless.
RUN_THEIR_FILES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
# One that opens it guarded, and those that open what they wrote themselves.
OWN_MEDIA = {"container.py", "synthetic", "benchmarks"}
BANNED_CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "os.system": "a shell",
    "os.popen": "a shell",
    "tempfile.mktemp": "a name another program can take",
    "yaml.load": "makes objects; safe_load does not",
    "yaml.unsafe_load": "makes objects",
    "yaml.full_load": "makes objects",
    "pd.read_pickle": "runs its file",
    "torch.hub.load": "runs code from elsewhere",
    "pyarrow.deserialize": "makes objects",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    for given in call.keywords:
        if given.arg == name:
            return ast.literal_eval(given.value) if isinstance(given.value, ast.Constant) else given
    return None


def faults(source: Path) -> list[str]:
    found = []
    for name, call in calls(source):
        place = f"{source.name}:{call.lineno} {name}"
        last = name.rpartition(".")[2]
        if name in BANNED_CALLS:
            found.append(f"{place}: {BANNED_CALLS[name]}")
        if name == "torch.load" and keyword(call, "weights_only") is not True:
            found.append(f"{place}: needs weights_only=True")
        if last == "from_pretrained" and keyword(call, "local_files_only") is not True:
            found.append(f"{place}: needs local_files_only=True")
        if name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") is not False:
            found.append(f"{place}: needs allow_pickle=False")
        if name in ("np.save", "numpy.save") and keyword(call, "allow_pickle") is not False:
            found.append(f"{place}: needs allow_pickle=False")
        if keyword(call, "shell") not in (None, False):
            found.append(f"{place}: a shell")
        if keyword(call, "trust_remote_code") not in (None, False):
            found.append(f"{place}: runs code from elsewhere")
        if last in ("extractall", "extract", "unpack_archive"):
            found.append(f"{place}: an archive's names become paths")
        if name == "av.open" and not OWN_MEDIA & set(source.parts):
            found.append(f"{place}: only pipelines/video/container.py opens media")
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [
                f"{source.name}: imports {a.name}" for a in node.names if a.name in RUN_THEIR_FILES
            ]
        if isinstance(node, ast.ImportFrom) and node.module in RUN_THEIR_FILES:
            names = {a.name for a in node.names} - {"UnpicklingError"}
            found += [f"{source.name}: imports {node.module}.{name}" for name in sorted(names)]
        if isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::"):
            found.append(f"{source.name}:{node.lineno} binds every interface")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_read_from_a_file_is_run(package: str) -> None:
    modules = [path for path in MODULES if path.relative_to(ROOT).parts[0] == package]
    assert modules
    assert [fault for path in modules for fault in faults(path)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import yaml\nyaml.load('x')",
        "import numpy as np\nnp.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "CLIPModel.from_pretrained('x')",
        "CLIPModel.from_pretrained('x', local_files_only=True, trust_remote_code=True)",
        "subprocess.run('ls', shell=True)",
        "archive.extractall('x')",
        "eval('1')",
        "import av\nav.open('x')",
        "serve(host='0.0.0.0')",
    ],
)
def test_each_of_them_would_be_seen(tmp_path: Path, source: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert faults(path)
