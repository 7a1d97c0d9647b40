"""An answer that gives every thing its own value is judged by the value of what was asked about."""

from dataclasses import replace

import pytest

from qwen_bench.scoring.score import judge_text

from .test_judge import a_probe

FERRY = replace(a_probe("Godwit", ("Godwit", "Lapwing", "Tern")), key_words=("the ferry",))
DUCK = replace(a_probe("豌豆", ("豌豆", "青团", "麻糍"), "zh"), key_words=("鸭子",))


@pytest.mark.parametrize(
    "said",
    [
        "I'd paint Godwit on the ferry and Lapwing on the trawler.",
        "I'd paint Lapwing on the trawler and Godwit on the ferry.",
        "I see the trawler as Lapwing and the ferry as Godwit.",
        "The ferry would sail as Godwit and the trawler would sail as Lapwing",
        "I'd paint Godwit on the ferry and Lapwing on the trawler. I'd paint Godwit on the",
    ],
)
def test_each_value_beside_its_own_thing_is_one_answer(said):
    assert judge_text(FERRY, said).reason == "correct"


@pytest.mark.parametrize("said", ["我会报青团（仓鼠），豌豆（鸭子）。", "仓鼠叫青团，鸭子叫豌豆"])
def test_the_same_in_chinese(said):
    assert judge_text(DUCK, said).reason == "correct"


@pytest.mark.parametrize(
    "said",
    [
        "I'd paint Lapwing on the ferry and Godwit on the trawler.",
        "Godwit on the ferry or Lapwing on the ferry",
        "Godwit on the ferry, Lapwing",
        "Godwit and Lapwing beside the ferry and the trawler",
        "Godwit on the yacht and Lapwing on the trawler",
    ],
)
def test_values_that_are_not_each_bound_to_another_thing_are_several_answers(said):
    assert judge_text(FERRY, said).reason == "multiple"


@pytest.mark.parametrize("said", ["我会报豌豆（仓鼠），青团（鸭子）。", "仓鼠叫豌豆，鸭子叫青团"])
def test_a_value_of_another_thing_is_no_answer_in_chinese(said):
    assert judge_text(DUCK, said).score == 0
