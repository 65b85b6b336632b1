import pytest

from pipelines.datasets.realworld import REALWORLD_LABELS
from pipelines.segments.ego4d_labels import EGO4D_LABELS
from pipelines.segments.labels import EGOEXO4D_LABELS
from pipelines.text.clean import clean_text
from pipelines.text.prompts import CLASS_PROMPTS, TEMPLATES, choose_prompts
from schemas.errors import UsageError


def test_every_label_of_the_readers_has_five_sentences_of_its_own() -> None:
    wanted = {*EGOEXO4D_LABELS, *EGO4D_LABELS, *REALWORLD_LABELS.values()}
    assert set(CLASS_PROMPTS) == wanted
    said = [sentence for sentences in CLASS_PROMPTS.values() for sentence in sentences]
    assert len(said) == 5 * len(wanted) == len(set(said))


def test_sentences_are_as_cleaning_leaves_them() -> None:
    for sentences in CLASS_PROMPTS.values():
        for sentence in sentences:
            assert clean_text(sentence, rule="default") == sentence


def test_given_sentences_win_over_ours_and_templates_stand_in() -> None:
    found = choose_prompts(
        ["cook", "dance", "juggle"], given={"dance": ["b", "a", "b"], "swim": ["c"]}
    )
    assert list(found) == ["cook", "dance", "juggle", "swim"]
    assert found["cook"] == CLASS_PROMPTS["cook"]
    assert found["dance"] == ("b", "a")
    assert found["swim"] == ("c",)
    assert found["juggle"] == tuple(form.replace("{}", "juggle") for form in TEMPLATES)
    assert list(choose_prompts(["cook", "cook"], given={})) == ["cook"]


@pytest.mark.parametrize("sentences", [[], ["a", " "]])
def test_a_class_without_sentences_is_refused(sentences: list[str]) -> None:
    with pytest.raises(UsageError, match="class 'swim' must have sentences, none of them empty"):
        choose_prompts([], given={"swim": sentences})


@pytest.mark.parametrize("labels", [[], ["cook", ""]])
def test_classes_must_have_names(labels: list[str]) -> None:
    with pytest.raises(UsageError, match="classes must have names and be at least one"):
        choose_prompts(labels, given={})
