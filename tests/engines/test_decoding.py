"""One answer, token by token: budgets of thought and answer, stop tokens, and draws."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.chat.messages import split_thought
from qwen_bench.engines.decoding import Budget, GeneratedRow, Stopping, advance, filtered
from qwen_bench.protocol import GREEDY, Request, Sampling

# One id a word; 2 stops.
WORDS = ("a", "b", "<|im_end|>", "<think>", "</think>", "<th", "ink>", "</th", "ink>\n", " ", "\n")
STOP, OPEN, CLOSE = 2, 3, 4
A, B = 0, 1
SHORT = Budget(3, 5)
STOPPING = Stopping(frozenset({STOP}), lambda ids: "".join(WORDS[token] for token in ids))


def write(tokens, budget=SHORT, *, opened=False):
    """The row after as many of the tokens as it wants."""
    row = GeneratedRow(0, budget, opened=opened)
    for token in tokens:
        if not row.live:
            break
        row.take(token, 1.0, STOPPING)
    return row


def written(tokens, budget=SHORT, *, opened=False):
    return write(tokens, budget, opened=opened).written(budget)


def test_an_answer_without_a_thought_has_the_budget_of_an_answer():
    found = written([A, B, A, B])

    assert found.tokens == (A, B, A)
    assert (found.thought_tokens, found.thinking, found.stopped) == (0, False, False)


def test_an_answer_ends_at_a_stop_token_and_keeps_it():
    found = written([A, STOP, B])

    assert found.tokens == (A, STOP)
    assert found.stopped


def test_the_budget_of_an_answer_counts_from_the_end_of_its_thought():
    found = written([OPEN, A, B, CLOSE, A, B, A, B])

    assert found.tokens == (OPEN, A, B, CLOSE, A, B, A)
    assert (found.thought_tokens, found.thinking, found.stopped) == (4, False, False)


def test_a_thought_that_the_prompt_opened_needs_no_opening_tag():
    found = written([A, CLOSE, B, STOP], opened=True)

    assert found.tokens == (A, CLOSE, B, STOP)
    assert (found.thought_tokens, found.thinking, found.stopped) == (2, False, True)


@pytest.mark.parametrize(("begin", "opened"), [((OPEN,), False), ((), True)])
def test_a_thought_that_never_ends_is_cut_by_its_own_budget_and_never_closed(begin, opened):
    found = written([*begin, *[A] * 20], Budget(3, 5), opened=opened)

    assert len(found.tokens) == 5
    assert CLOSE not in found.tokens
    assert (found.thought_tokens, found.thinking, found.stopped) == (5, True, False)


def test_the_same_tokens_without_an_opened_thought_are_an_answer():
    found = written([A] * 20, Budget(3, 5))

    assert (len(found.tokens), found.thinking) == (3, False)


def test_a_closing_tag_at_the_last_token_of_the_budget_still_leaves_room_for_the_answer():
    found = written([A, A, A, A, CLOSE, B, STOP], Budget(3, 5), opened=True)

    assert found.tokens == (A, A, A, A, CLOSE, B, STOP)
    assert (found.thought_tokens, found.thinking) == (5, False)


def test_a_closing_tag_one_token_too_late_is_not_reached():
    found = written([A, A, A, A, A, CLOSE, B], Budget(3, 5), opened=True)

    assert (found.tokens, found.thinking) == ((A,) * 5, True)


def test_tags_of_several_tokens_are_found_in_the_text():
    found = written([5, 6, A, 7, 8, B, STOP], Budget(3, 9))

    assert (found.thought_tokens, found.thinking, found.stopped) == (5, False, True)
    assert split_thought(STOPPING.text(found.tokens[:-1])).text == "b"


def test_blanks_before_an_opening_tag_do_not_hide_the_thought():
    found = written([10, 9, OPEN, A, A, CLOSE, B, STOP], Budget(3, 8))

    assert (found.thought_tokens, found.thinking) == (6, False)


def test_an_opening_tag_inside_an_answer_opens_no_thought():
    found = written([A, OPEN, A, B], Budget(3, 9))

    assert (found.tokens, found.thinking) == ((A, OPEN, A), False)


def test_a_stop_token_inside_a_thought_ends_everything():
    found = written([OPEN, A, STOP, CLOSE, B])

    assert found.tokens == (OPEN, A, STOP)
    assert (found.thinking, found.stopped) == (True, True)


def test_two_requests_of_one_row_are_cut_by_their_own_budgets():
    row = write([OPEN, A, A, CLOSE, B, B, B, STOP], Budget(4, 6))

    long, answer, thought = (
        row.written(budget) for budget in (Budget(4, 6), Budget(2, 6), Budget(4, 2))
    )

    assert (len(long.tokens), long.stopped) == (8, True)
    assert (len(answer.tokens), answer.thought_tokens, answer.stopped) == (6, 4, False)
    assert (answer.thinking, thought.thinking) == (False, True)
    assert (len(thought.tokens), thought.stopped) == (2, False)


def test_the_margin_is_the_smallest_gap_of_the_tokens_that_were_kept():
    row = GeneratedRow(0, Budget(3, 3))
    for token, margin in ((A, 2.0), (B, 0.5), (STOP, 0.1)):
        row.take(token, margin, STOPPING)

    assert row.written(Budget(2, 3)).margin == 0.5
    assert row.written(Budget(3, 3)).margin == 0.1


@pytest.mark.parametrize("name", ["max_new_tokens", "max_thinking_tokens"])
def test_a_budget_below_one_is_refused(name):
    with pytest.raises(ValueError, match="budget"):
        Request("a", (), "generate", **{name: 0})


@given(
    st.lists(st.integers(0, len(WORDS) - 1), min_size=40, max_size=40),
    st.integers(1, 6),
    st.integers(1, 12),
    st.booleans(),
)
def test_no_answer_is_longer_than_its_budgets(tokens, answer, thought, opened):
    budget = Budget(answer, thought)

    found = written(tokens, budget, opened=opened)

    assert found.thought_tokens <= thought
    assert len(found.tokens) - found.thought_tokens <= answer
    assert not (found.thinking and ended(found.tokens))


def ended(tokens):
    return "</think>" in STOPPING.text(tokens)


def test_greedily_the_most_probable_token_is_taken_and_the_gap_is_kept():
    rows = [GeneratedRow(0, Budget(3, 3)), GeneratedRow(1, Budget(3, 3))]
    logits = torch.tensor([[1.0, 3.5, 0.0], [2.0, 0.0, 0.0]])

    advance(rows, logits, STOPPING)

    assert [row.tokens for row in rows] == [[B], [A]]
    assert [row.margins[0] for row in rows] == pytest.approx([2.5, 2.0])


def drawn(key, seed=0, *, beside=(), steps=30):
    """Tokens of a request drawn from even odds, with other rows in the batch."""
    sampling = Sampling(temperature=1.0, seed=seed)
    rows = [GeneratedRow(0, Budget(99, 99), sampling=sampling, key=name) for name in (*beside, key)]
    for _ in range(steps):
        advance(rows, torch.zeros(len(rows), 2), STOPPING)
    return rows[-1].tokens


def test_a_request_draws_the_same_tokens_whatever_is_answered_beside_it():
    alone = drawn("x")

    assert drawn("x", beside=("y", "z")) == alone
    assert drawn("x", beside=("z",)) == alone


def test_another_request_or_another_seed_draws_other_tokens():
    assert drawn("x") != drawn("y")
    assert drawn("x", seed=1) != drawn("x", seed=2)


def test_draws_follow_the_probabilities():
    row = GeneratedRow(0, Budget(5000, 1), sampling=Sampling(temperature=1.0), key="x")
    logits = torch.tensor([[0.8, 0.2]]).log()

    for _ in range(4000):
        advance([row], logits, STOPPING)

    # Standard error 0.006.
    assert row.tokens.count(A) / 4000 == pytest.approx(0.8, abs=0.03)


def test_a_low_temperature_comes_close_to_greedy_and_a_high_one_to_chance():
    logits = torch.tensor([2.0, 1.0, 0.0])

    cold, hot = (filtered(logits, Sampling(temperature=t)) for t in (0.05, 100.0))

    assert float(cold[0]) == pytest.approx(1.0)
    assert hot.tolist() == pytest.approx([1 / 3] * 3, abs=0.01)


def test_top_k_keeps_the_most_probable_and_shares_out_the_rest():
    found = filtered(torch.tensor([0.5, 0.3, 0.2]).log(), Sampling(temperature=1.0, top_k=2))

    assert found.tolist() == pytest.approx([0.625, 0.375, 0.0])


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, 1), (0.5, 1), (0.6, 2), (0.8, 2), (0.81, 3), (1.0, 3)]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p, kept):
    found = filtered(torch.tensor([0.5, 0.3, 0.2]).log(), Sampling(temperature=1.0, top_p=top_p))

    assert int((found > 0).sum()) == kept
    assert float(found.sum()) == pytest.approx(1.0)


def test_top_p_is_taken_of_what_top_k_left():
    # Of 0.5, 0.3, 0.2 top_k leaves 0.625 and 0.375; alone the first has 0.5 of 0.6.
    logits = torch.tensor([0.5, 0.3, 0.2]).log()

    both = filtered(logits, Sampling(temperature=1.0, top_p=0.6, top_k=2))
    alone = filtered(logits, Sampling(temperature=1.0, top_p=0.6))

    assert (int((both > 0).sum()), int((alone > 0).sum())) == (1, 2)


def test_the_filters_agree_with_those_of_transformers():
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = torch.randn(300, generator=torch.Generator().manual_seed(3)) * 3
    scores = logits[None]
    for warper in (TemperatureLogitsWarper(0.6), TopKLogitsWarper(20), TopPLogitsWarper(0.95)):
        scores = warper(None, scores)

    found = filtered(logits, Sampling(temperature=0.6, top_p=0.95, top_k=20))

    assert torch.allclose(found, scores[0].softmax(-1), rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize(
    "values", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1}]
)
def test_a_value_out_of_range_is_refused(values):
    with pytest.raises(ValueError, match="not a way to sample"):
        Sampling(**values)


def test_without_a_temperature_nothing_is_drawn():
    rows = [GeneratedRow(0, Budget(9, 9), sampling=GREEDY, key=key) for key in "xy"]

    for _ in range(5):
        advance(rows, torch.tensor([[0.0, 0.1], [0.0, 0.1]]), STOPPING)

    assert rows[0].tokens == rows[1].tokens == [B] * 5
