"""The table of reasons holds every code the program can give, and no other; so does its page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.segments import filters
from pipelines.segments.quality_limits import LIMIT_REASONS
from pipelines.synthetic.faults import FAULTS
from schemas.reasons import KINDS, REASONS, ReasonKind, find_reason, reasons_of
from schemas.reasons_page import render_reasons

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "quarantine.md"
# Codes a variable holds that is told apart from its surroundings by hand.
FILTERED = {filters.IMU_MISSING, filters.IMU_GAP, filters.FRAMES_MISSING, filters.TEXT_EMPTY}
CODE = re.compile(r"[a-z][a-z0-9_]+")


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in ("pipelines", "flows", "schemas", "primus_train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "synthetic" not in path.parts:
                yield path, ast.parse(path.read_text(encoding="utf-8"))


def called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def strings(node: ast.AST) -> set[str]:
    return {
        n.value
        for n in ast.walk(node)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and CODE.fullmatch(n.value)
    }


def given_codes(tree: ast.Module, *, call: str) -> set[str]:
    """First arguments of ``call``; where one is a name, every code that the name can stand for."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and called(node) == call and node.args):
            continue
        first = node.args[0]
        if isinstance(first, ast.Constant):
            found.add(str(first.value))
        elif not isinstance(first, ast.Attribute | ast.Subscript):  # which repeat one given before
            assert isinstance(first, ast.Name), ast.unparse(node)
            found |= meanings(tree, first.id)
    return found


def meanings(tree: ast.Module, name: str) -> set[str]:
    found: set[str] = set()
    takers: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                found |= strings(node.value)
        elif isinstance(node, ast.For) and name in {
            n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)
        }:
            found |= loop_values(looked_up(tree, node.iter), node.target, name)
        elif isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            if name in {a.arg for a in arguments}:
                takers.add(node.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in takers:
            found |= {s for a in [*node.args, *node.keywords] for s in strings(a) if "_" in s}
    return found


def loop_values(table: ast.AST, target: ast.AST, name: str) -> set[str]:
    """What ``name`` becomes in a loop over a dict's items or over tuples."""
    assert isinstance(target, ast.Tuple)
    at = [isinstance(t, ast.Name) and t.id == name for t in target.elts].index(True)
    if isinstance(table, ast.Dict):
        return {s for value in (table.keys, table.values)[at] if value for s in strings(value)}
    assert isinstance(table, ast.Tuple | ast.List)
    rows = [row for row in table.elts if isinstance(row, ast.Tuple)]
    return {s for row in rows for s in strings(row.elts[at])}


def looked_up(tree: ast.Module, node: ast.AST) -> ast.AST:
    """The table that ``TABLE.items()`` goes over, where the loop does not write it out."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    for other in tree.body:
        if (
            isinstance(other, ast.AnnAssign)
            and isinstance(other.target, ast.Name)
            and other.target.id in names
            and other.value is not None
        ):
            return other.value
    return node


def counted(tree: ast.Module, name: str) -> set[str]:
    """Constant keys of ``name[...]`` and ``name.get(...)``."""
    return {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    }


def codes_in_code() -> dict[ReasonKind, set[str]]:
    take, drop, ignored, plan = set[str](), set[str](), set[str](), set[str]()
    for path, tree in modules():
        (plan if "pricing" in path.parts else take).update(given_codes(tree, call="TakeError"))
        drop |= given_codes(tree, call="Drop")
        if "segments" in path.parts and path.name == "policies.py":
            drop |= counted(tree, "drops")
        if "datasets" in path.parts:
            ignored |= counted(tree, "ignored")
            # Files are missed under the reader's own code.
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and called(node) in ("_require_file", "_path"):
                    arguments = [*node.args, *(k.value for k in node.keywords)]
                    take |= {s for a in arguments for s in strings(a) if "_missing" in s}
                if isinstance(node, ast.For) and "code" in ast.unparse(node.target):
                    take |= {s for s in strings(node.iter) if "_missing" in s}
        if path.name in ("captions.py", "narration_csv.py"):
            # A block that is no cue is returned as its kind and a sentence.
            ignored |= {
                f"caption_{node.value.elts[0].value}"
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef)
                and function.returns is not None
                and "Cue" in ast.unparse(function.returns)
                for node in ast.walk(function)
                if isinstance(node, ast.Return)
                and isinstance(node.value, ast.Tuple)
                and isinstance(node.value.elts[0], ast.Constant)
            }
    return {
        "quarantine": take,
        "drop": drop | FILTERED | set(LIMIT_REASONS),
        "ignored": ignored,
        "plan": plan,
    }


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_table_has_the_codes_of_the_code_and_no_other(kind: ReasonKind) -> None:
    assert {row.code for row in reasons_of(kind)} == codes_in_code()[kind]


def test_a_code_that_nobody_wrote_down_would_be_found() -> None:
    tree = ast.parse(
        "_MINE: Final = 'mine_too'\n"
        "def f(code):\n    raise TakeError(code, 'x')\n"
        "def g():\n    f('by_argument')\n    raise TakeError('by_hand', 'x')\n"
        "def h():\n    raise TakeError(_MINE, 'x')\n"
        "for a, code in (('x', 'by_loop'),):\n    raise TakeError(code, 'x')\n"
    )
    assert given_codes(tree, call="TakeError") == {"by_argument", "by_hand", "mine_too", "by_loop"}


def test_each_row_says_what_and_what_to_do() -> None:
    assert len({(row.code, row.kind) for row in REASONS}) == len(REASONS)
    for row in REASONS:
        assert CODE.fullmatch(row.code)
        assert len(row.meaning.split()) >= 2
        assert len(row.remedy.split()) >= 2
        assert "|" not in row.meaning + row.remedy
        assert not row.meaning.endswith(".")
    found = find_reason("imu_missing", kind="drop")
    assert found is not None
    assert found.meaning == "The segment reaches beyond the recorded IMU"
    assert find_reason("imu_missing", kind="ignored") is None


def test_planted_faults_have_rows() -> None:
    kinds: dict[str, ReasonKind] = {
        "quarantined": "quarantine",
        "dropped": "drop",
        "ignored": "ignored",
    }
    for fault in FAULTS:
        if fault.outcome in kinds:
            assert find_reason(str(fault.reason), kind=kinds[fault.outcome]), fault


def test_the_page_is_what_the_table_says() -> None:
    page = DOC.read_text(encoding="utf-8")
    assert page == render_reasons(), "python -m schemas.reasons_page > docs/quarantine.md"
    for row in REASONS:
        assert f"| `{row.code}` | {row.meaning} | {row.remedy} |" in page
