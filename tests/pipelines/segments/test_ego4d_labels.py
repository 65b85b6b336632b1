import pytest

from pipelines.segments.ego4d_labels import EGO4D_LABELS, ego4d_label

# As the public schema and the paper name them, one by one.
PAPER = [
    ("Practicing a musical instrument", "play music"),
    ("Cooking", "cook"),
    ("Eating", "eat"),
    ("Cleaning / laundry", "clean"),
    ("Carpenter", "carpenter"),
    ("Crafting/knitting/sewing/drawing/painting", "craft"),
    ("Farmer", "farmer"),
    ("Household management - caring for kids", "household"),
    ("Walking on street", "walk"),
    (
        "jobs related to construction/renovation company\n"
        "(Director of work, tiler, plumber, Electrician, Handyman, etc)",
        "construction",
    ),
]


@pytest.mark.parametrize(("scenario", "label"), PAPER)
def test_each_of_the_ten_scenarios_has_its_class(scenario: str, label: str) -> None:
    assert ego4d_label([scenario], rule="paper") == label
    assert ego4d_label([scenario], rule="published") == label


def test_the_ten_classes_are_those_of_the_table() -> None:
    assert [label for _, label in PAPER] == list(EGO4D_LABELS)


@pytest.mark.parametrize(
    "scenario",
    [
        "Jobs related to construction/renovation",
        "jobs related to construction/renovation company (Director of work, tiler)",
        "  jobs related to  construction/renovation company ",
    ],
)
def test_construction_is_known_by_its_beginning(scenario: str) -> None:
    assert ego4d_label([scenario], rule="paper") == "construction"


@pytest.mark.parametrize(
    "scenario",
    [
        "Car mechanic",
        "Clothes, other shopping",
        "Doing yardwork / shoveling snow",
        "Grocery shopping indoors",
        "Playing cards",
    ],
)
def test_the_five_left_out_have_a_class_under_the_published_rule_alone(scenario: str) -> None:
    assert ego4d_label([scenario], rule="paper") is None
    published = ego4d_label([scenario], rule="published")
    assert published is not None
    assert published not in EGO4D_LABELS


@pytest.mark.parametrize(
    "scenarios",
    [[], ["Cooking", "Eating"], ["Cooking", "Cooking"], ["Eating at a restaurant"], ["Cook"], [""]],
)
def test_several_or_other_scenarios_have_no_class(scenarios: list[str]) -> None:
    assert ego4d_label(scenarios, rule="paper") is None
