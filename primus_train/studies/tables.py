"""A study's tables in Markdown and LaTeX."""

from collections.abc import Sequence
from typing import Any, Final

from primus_train.studies.grids import Grid, metric_words, percent
from primus_train.studies.settings import StudySettings

__all__ = ["latex_table", "study_latex", "study_markdown"]

_DIGITS: Final = 12
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "<": r"$<$",
}


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is left, the others right."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join([line(header), rule, *map(line, rows)])


def latex_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, label: str
) -> str:
    """Return a LaTeX table for booktabs; cells between ``**`` are bold."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(_escaped, cells)) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            line(header),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _escaped(text: str) -> str:
    bold = text.startswith("**") and text.endswith("**") and len(text) > 4
    words = "".join(_LATEX.get(letter, letter) for letter in text.strip("*" if bold else ""))
    return rf"\textbf{{{words}}}" if bold else words


def study_markdown(
    grids: Sequence[Grid], rows: Sequence[dict[str, Any]], *, settings: StudySettings
) -> str:
    """Return a study's tables, and what each of their numbers comes from."""
    parts = [f"# {_heading(settings)}"]
    for grid in grids:
        header, body = _cells(grid)
        parts += [f"## {grid.title}", _markdown_table(header, body), _note(grid)]
    parts += _reasons(rows)
    parts += ["## Traced to", *_trace(rows)]
    return "\n\n".join(parts) + "\n"


def study_latex(grids: Sequence[Grid], *, settings: StudySettings) -> str:
    """Return a study's tables in LaTeX, one a grid."""
    tables = []
    for number, grid in enumerate(grids, start=1):
        header, body = _cells(grid)
        tables.append(
            latex_table(
                header,
                body,
                caption=f"{_heading(settings)}: {grid.title}. {_note(grid)}",
                label=f"tab:{settings.study}-{number}",
            )
        )
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(tables) + "\n"


def _heading(settings: StudySettings) -> str:
    protocol = settings.probe.protocol
    return (
        f"{settings.study.replace('-', ' ').capitalize()}: {metric_words(settings.metric)} in %, "
        f"{protocol} probe"
        + (f", {settings.probe.shots[0]} shots per class" if _one_number(settings) else "")
    )


def _one_number(settings: StudySettings) -> bool:
    by_shots = settings.study in {"baselines", "ablation"}
    return not by_shots and len(settings.probe.shots) == 1


def _cells(grid: Grid) -> tuple[list[str], list[list[str]]]:
    share = grid.corner[1].startswith("share")
    header = [" / ".join(grid.corner)]
    header += [f"{100 * float(c):g} %" if share else str(c) for c in grid.columns]
    best = {
        column: max(
            (mean for name in grid.rows if (mean := grid.value(name, column)[0]) is not None),
            default=None,
        )
        for column in grid.columns
    }
    body = []
    for name in grid.rows:
        words = [name + (" (collapsed)" if grid.collapsed(name) else "")]
        for column in grid.columns:
            cell = grid.cells.get((name, column))
            mean, error = grid.value(name, column)
            text = "" if cell is None else percent(mean, error)
            if cell is not None and cell["near_chance"]:
                text += " †"
            if mean is not None and mean == best[column]:
                text = f"**{text}**"
            words.append(text)
        body.append(words)
    return header, body


def _note(grid: Grid) -> str:
    words = [f"Mean ± standard error over trials; {grid.facts}"]
    if grid.chance is not None:
        words.append(f"chance {100 * grid.chance:.1f} %")
    if any(cell["near_chance"] for cell in grid.cells.values()):
        words.append("† near chance: balanced accuracy less than 5 points above it")
    note = "; ".join(words) + "."
    return note if grid.comparison is None else f"{note} {grid.comparison}."


def _reasons(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"- {row['title']}{_share(row)}, {row['panel_name']}, {row['shots']} shots"
        f"{' (failed)' if row['failed'] else ''}: {row['reason']}"
        for row in rows
        if row["reason"] is not None
    ]
    return ["## Not available", "\n".join(lines)] if lines else []


def _share(row: dict[str, Any]) -> str:
    return "" if row["share"] is None else f" at {100 * row['share']:g} %"


def _trace(rows: Sequence[dict[str, Any]]) -> list[str]:
    stores = dict.fromkeys(
        f"- {row['panel_name']}: {row['store']}@{row['version']}" for row in rows
    )
    header = ("encoder", "run", "checkpoint", "store", "mask", "seed", "commit")
    lines = dict.fromkeys(
        (
            row["title"] + _share(row),
            row["run"][:_DIGITS],
            (row["checkpoint_sha256"] or "none")[:_DIGITS],
            row["trained_on"],
            "none" if row["mask"] is None else f"{row['mask']} {row['mask_sha256'][:_DIGITS]}",
            str(row["seed"]),
            (row["commit"] or "not told")[:_DIGITS] + (" changed" if row["dirty"] else ""),
        )
        for row in rows
    )
    told = "Digests by their first digits; the Parquet table has them whole, and each probe's."
    return ["\n".join(stores), _markdown_table(header, list(lines)), told]
