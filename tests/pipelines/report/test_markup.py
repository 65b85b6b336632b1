from html.parser import HTMLParser

from pipelines.report.markup import Html, bars, cards, element, join, table


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


NASTY = "<script>alert('\"&')</script>"


def test_text_is_escaped_and_reads_back() -> None:
    reader = read(element("p", NASTY))
    assert [tag for tag, _ in reader.tags] == ["p"]
    assert "".join(reader.words) == NASTY


def test_attributes_are_escaped_and_renamed() -> None:
    reader = read(element("p", class_=NASTY, aria_hidden="true"))
    assert reader.tags == [("p", {"class": NASTY, "aria-hidden": "true"})]


def test_markup_is_not_escaped_twice() -> None:
    assert join([element("b", "a & b"), " <"]) == "<b>a &amp; b</b> &lt;"
    assert isinstance(join([]), Html)


def test_table_shows_dashes_and_escapes_cells() -> None:
    reader = read(table(["take", "n"], [[NASTY, None], ["x", 3]]))
    assert [tag for tag, _ in reader.tags].count("td") == 4
    assert reader.words == ["take", "n", NASTY, "-", "x", "3"]


def test_bars_are_shares_of_the_largest_or_of_the_whole() -> None:
    def widths(html: str) -> list[str]:
        return [str(a["style"]).partition(";")[0] for _, a in read(html).tags if "style" in a]

    items = [("a", 5, "good"), (NASTY, 10, "lost")]
    assert widths(bars(items)) == ["width:50.00%", "width:100.00%"]
    assert widths(bars(items, whole=20)) == ["width:25.00%", "width:50.00%"]
    assert widths(bars([("a", 0, "good")])) == ["width:0.00%"]
    assert NASTY in read(bars(items)).words


def test_cards_show_name_value_and_remark() -> None:
    assert read(cards([("takes", 3, ""), ("hours", "1.5", NASTY)])).words == [
        "takes",
        "3",
        "hours",
        "1.5",
        NASTY,
    ]
