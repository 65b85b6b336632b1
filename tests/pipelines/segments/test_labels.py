import pytest

from pipelines.segments.labels import EGOEXO4D_LABELS, egoexo4d_label

NAMES = [
    ("upenn_0706_CovidTest_2_3", "medical test"),
    ("georgiatech_covid_02_8", "medical test"),
    ("sfu_pcr_001_1", "medical test"),
    ("fair_bike_06_12", "repair bike"),
    ("utokyo_bouldering_3_1", "climb rock"),
    ("cmu_rockclimbing09_1", "climb rock"),
    ("cmu_soccer06_2", "soccer"),
    ("nus_cpr_30_1", "perform CPR"),
    ("fair_cooking_05_2", "cook"),
    ("sfu_omelet_1", "cook"),
    ("utokyo_salad_10_1_2", "cook"),
    ("minnesota_sushi_1", "cook"),
    ("upenn_0711_Dance_1_2", "dance"),
    ("uniandes_music_3", "play music"),
    ("upenn_0628_Guitar_2_1", "play music"),
    ("upenn_0718_Violin_2_2", "play music"),
    ("upenn_0630_Piano_1_1", "play music"),
]


@pytest.mark.parametrize("rule", ["paper", "published"])
@pytest.mark.parametrize(("name", "label"), NAMES)
def test_name_tells_the_class(name: str, label: str, rule: str) -> None:
    assert egoexo4d_label(name, rule=rule) == label


def test_the_eight_classes_are_all_reached() -> None:
    assert {label for _, label in NAMES} == set(EGOEXO4D_LABELS)
    assert len(EGOEXO4D_LABELS) == 8


def test_basketball_counts_as_soccer_only_as_published() -> None:
    assert egoexo4d_label("unc_basketball_02-24-23_01_5", rule="published") == "soccer"
    assert egoexo4d_label("unc_basketball_02-24-23_01_5", rule="paper") is None


@pytest.mark.parametrize("name", ["iiith_walking_1", ""])
def test_unknown_activity_has_no_label(name: str) -> None:
    assert egoexo4d_label(name, rule="paper") is None


def test_first_match_wins() -> None:
    # "covid" stands before "dance" in the rule, and "bike" before "cooking".
    assert egoexo4d_label("dance_after_covid", rule="paper") == "medical test"
    assert egoexo4d_label("cooking_on_a_bike", rule="paper") == "repair bike"
