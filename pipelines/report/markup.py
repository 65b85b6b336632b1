"""HTML that cannot be broken by data: whatever is not `Html` already is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

__all__ = ["Html", "bars", "cards", "element", "join", "table"]

_VOID: Final = frozenset({"img", "meta", "path", "line", "circle", "rect"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def join(parts: Iterable[object]) -> Html:
    """Return the parts one after the other, those that are not `Html` escaped."""
    return Html("".join(p if isinstance(p, Html) else escape(str(p)) for p in parts))


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """Return one element; of attribute names a trailing ``_`` is cut, inner ones become ``-``."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{words}>" if name in {"img", "meta"} else f"<{name}{words}/>")
    return Html(f"<{name}{words}>{join(children)}</{name}>")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 1) -> Html:
    """Return a table that scrolls sideways on its own where the page is narrow.

    Args:
        head: column titles.
        rows: cells; None is shown as a dash.
        words: how many leading columns hold words; the others hold numbers and align right.
    """

    def line(cells: Sequence[object], name: str) -> Html:
        return element(
            "tr",
            *(
                element(
                    name, "-" if cell is None else cell, class_="word" if i < words else "number"
                )
                for i, cell in enumerate(cells)
            ),
        )

    body = element("tbody", *(line(row, "td") for row in rows))
    return element(
        "div", element("table", element("thead", line(head, "th")), body), class_="scroll"
    )


def _breakable(name: str) -> Html:
    # Reason codes are long; a narrow page may break them after an underscore.
    return Html(escape(name).replace("_", "_<wbr>"))


def _width(share: float) -> str:
    # A count of one stays visible, a count of none does not show.
    return f"width:{100 * share:.2f}%" + (";min-width:2px" if share else "")


def cards(items: Iterable[tuple[str, object, str]]) -> Html:
    """Return a grid of numbers: (name, value, remark)."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", name),
                element("dd", value),
                element("p", remark) if remark else Html(),
                class_="card",
            )
            for name, value, remark in items
        ),
        class_="cards",
    )


def bars(items: Sequence[tuple[str, int, str]], *, whole: int | None = None) -> Html:
    """Return horizontal bars: (name, count, kind).

    Args:
        items: ``kind`` is the bar's colour class: ``good``, ``lost``, ``held`` or ``plain``.
        whole: count of a full-width bar; the largest count by default.
    """
    full = max(1, whole if whole is not None else max((n for _, n, _ in items), default=1))
    return element(
        "div",
        *(
            element(
                "div",
                element("span", _breakable(name), class_="name"),
                element(
                    "span",
                    element("span", class_=f"fill {kind}", style=_width(n / full)),
                    class_="track",
                ),
                element("span", f"{n:,}", class_="count"),
                class_="bar",
            )
            for name, n, kind in items
        ),
        class_="bars",
    )
