"""What the container files promise, read from their text."""

import fnmatch
import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {"primus-prep": "prep.Dockerfile", "primus-train": "train.Dockerfile"}
COMPILERS = ("build-essential", "gcc", "g++", "clang", "cmake", "make", "-dev")


@dataclass(frozen=True)
class Line:
    """One instruction, its continuation lines joined."""

    keyword: str
    rest: str


def parse(text: str) -> list[Line]:
    kept = "\n".join(row for row in text.splitlines() if not row.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", kept)
    rows = [row.strip() for row in joined.splitlines() if row.strip()]
    return [Line(row.split(None, 1)[0], row.split(None, 1)[1]) for row in rows]


def stages(lines: list[Line]) -> list[list[Line]]:
    found: list[list[Line]] = []
    for line in lines:
        if line.keyword == "FROM":
            found.append([])
        found[-1].append(line)
    return found


def breaches(text: str, *, program: str) -> set[str]:
    """Return what a container file lacks of its promises, by short names."""
    lines = parse(text)
    wrong: set[str] = set()
    if any(
        not re.match(r"python:3\.11\.\d+-slim-\w+( AS \w+)?$", f.rest)
        for f in lines
        if f.keyword == "FROM"
    ):
        wrong.add("base_not_pinned")
    if ":latest" in text:
        wrong.add("latest")
    parts = stages(lines)
    if len(parts) < 2:
        return wrong | {"one_stage"}
    build = [line for stage in parts[:-1] for line in stage]
    final = parts[-1]
    if any(
        word in line.rest
        for line in final
        if line.keyword == "RUN"
        for word in ("pip ", "apt", *COMPILERS)
    ):
        wrong.add("tools_in_final_stage")
    copied = next(
        (i for i, x in enumerate(build) if x.keyword == "COPY" and "constraints.txt" in x.rest),
        len(build),
    )
    installs = [
        (i, cmd)
        for i, x in enumerate(build)
        if x.keyword == "RUN"
        for cmd in x.rest.split("&&")
        if "pip install" in cmd
    ]
    if not installs or any(i < copied or "-c constraints.txt" not in cmd for i, cmd in installs):
        wrong.add("unconstrained")
    if any("projectaria-tools" in cmd and "--no-deps" not in cmd for _, cmd in installs):
        wrong.add("aria_with_its_dependencies")
    keywords = [line.keyword for line in final]
    if "USER" not in keywords or "ENTRYPOINT" not in keywords:
        return wrong | {"user_or_entrypoint_missing"}
    user = keywords.index("USER")
    if (
        user > keywords.index("ENTRYPOINT")
        or final[user].rest in {"root", "0"}
        or keywords.count("USER") > 1
    ):
        wrong.add("root")
    if json.loads(final[keywords.index("ENTRYPOINT")].rest) != [program]:
        wrong.add("entrypoint")
    return wrong


def read(name: str) -> str:
    return (ROOT / "docker" / name).read_text()


@pytest.mark.parametrize(("program", "name"), FILES.items())
def test_the_files_keep_their_promises(program: str, name: str) -> None:
    assert breaches(read(name), program=program) == set()


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        pytest.param(
            "python:3.11.13-slim-bookworm AS", "python:3.11-slim AS", "base_not_pinned", id="pin"
        ),
        pytest.param("-t primus-prep:0.1.0", "-t primus-prep:latest", "latest", id="latest"),
        pytest.param("USER primus", "USER root", "root", id="root"),
        pytest.param("USER primus\n", "", "user_or_entrypoint_missing", id="no_user"),
        pytest.param("COPY constraints.txt ./", "", "unconstrained", id="no_constraints"),
        pytest.param('-c constraints.txt ".[', '".[', "unconstrained", id="free_install"),
        pytest.param("--no-deps ", "", "aria_with_its_dependencies", id="aria"),
        pytest.param(
            "RUN useradd", "RUN apt-get install gcc && useradd", "tools_in_final_stage", id="gcc"
        ),
        pytest.param('["primus-prep"]', '["bash"]', "entrypoint", id="entrypoint"),
    ],
)
def test_the_check_itself_catches_each_breach(old: str, new: str, wrong: str) -> None:
    text = read("prep.Dockerfile")
    assert old in text
    assert breaches(text.replace(old, new), program="primus-prep") == {wrong}


@pytest.mark.parametrize(("program", "name"), FILES.items())
def test_labels_carry_version_and_git_hash_from_arguments(program: str, name: str) -> None:
    final = stages(parse(read(name)))[-1]
    arguments = {line.rest.partition("=")[0] for line in final if line.keyword == "ARG"}
    assert arguments == {"VERSION", "GIT_HASH"}
    labels = dict(
        item.split("=", 1)
        for line in final
        if line.keyword == "LABEL"
        for item in shlex.split(line.rest)
    )
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == program
    assert labels[prefix + "version"] == "${VERSION}"
    assert labels[prefix + "revision"] == "${GIT_HASH}"


@pytest.mark.parametrize(("program", "name"), FILES.items())
def test_entry_points_are_declared_and_their_packages_copied(program: str, name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    package = project["scripts"][program].partition(".")[0]
    build = stages(parse(read(name)))[0]
    copied = {w for line in build if line.keyword == "COPY" for w in line.rest.split()[:-1]}
    assert {
        package,
        "schemas",
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
    } <= copied
    extras = re.search(r'"\.\[([\w,]+)\]"', read(name))
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_the_trainer_image_holds_neither_decoder_nor_flows() -> None:
    text = read("train.Dockerfile")
    copied = [line.rest for line in parse(text) if line.keyword == "COPY"]
    assert not [rest for rest in copied if re.search(r"\b(flows|pipelines)\b", rest)]
    assert '".[train]"' in text


def kept(path: str) -> bool:
    """Whether the ignore file lets ``path`` into the build; its last matching row decides."""
    outcome = True
    for row in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = row.removeprefix("!")
        if not row or row.startswith("#"):
            continue
        if pattern.startswith("**/"):
            hit = any(fnmatch.fnmatch(part, pattern[3:]) for part in path.split("/"))
        else:
            hit = fnmatch.fnmatch(path.split("/")[0], pattern)
        if hit:
            outcome = row.startswith("!")
    return outcome


def test_ignore_file_lets_in_what_is_copied_and_nothing_else() -> None:
    for name in FILES.values():
        lines = [x for x in parse(read(name)) if x.keyword == "COPY" and "--from" not in x.rest]
        sources = [word for line in lines for word in line.rest.split()[:-1]]
        assert len(sources) >= 5
        assert [s for s in sources if not kept(s) or not (ROOT / s).exists()] == []
    outside = [".git/config", ".venv/bin/python", "tests/conftest.py", "demo-out/x", "data.vrs"]
    assert [path for path in outside if kept(path)] == []
    assert not kept("schemas/__pycache__/time.cpython-311.pyc")
    assert kept("schemas/time.py")


def test_docker_folder_has_no_python() -> None:
    assert sorted(p.name for p in (ROOT / "docker").iterdir() if p.suffix == ".py") == []
