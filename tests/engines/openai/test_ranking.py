"""Candidates scored through a server that only continues text: equal to the model's own numbers."""

from dataclasses import replace

import pytest

from qwen_bench.engines.openai.forcing import NamedToken, find
from qwen_bench.engines.openai.server_request import Local
from qwen_bench.errors import EngineError
from qwen_bench.protocol import Unit

FORMS = {
    "ids and ids back": {},
    "text": {"ids": False},
    "text, older form": {"ids": False, "content": False},
    "ids, older form": {"content": False},
    "echo": {"echo": True},
    "echo of text": {"echo": True, "ids": False},
}


def by_key(replies):
    return {(reply.id, reply.mode): reply for reply in replies}


def check_equal(mine, theirs, tolerance=1e-4):
    """Scores of both ways, and something that could differ."""
    ranked = [key for key in theirs if key[1] == "rank"]
    assert ranked
    for key in ranked:
        assert mine[key].status == "ok", mine[key].error_message
        for own, other in zip(mine[key].scores, theirs[key].scores, strict=True):
            assert (own.candidate, own.tokens) == (other.candidate, other.tokens)
            assert own.logprob == pytest.approx(other.logprob, abs=tolerance)
            if own.end_logprob is not None:
                assert own.end_logprob == pytest.approx(other.end_logprob, abs=tolerance)


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_the_hf_engine(form, tiny, open_engine, forked_unit):
    model, hf, folder = tiny
    for name, value in FORMS[form].items():
        setattr(model, name, value)

    engine = open_engine(model_args={"tokenizer": folder})
    mine, theirs = by_key(engine.answer(forked_unit)), by_key(hf.answer(forked_unit))

    assert engine.identity().engine.ranking == ("echo" if "echo" in form else "forcing")
    check_equal(mine, theirs)
    assert all(
        mine[key].prompt_sha256 == theirs[key].prompt_sha256 for key in mine if key[1] == "rank"
    )


@pytest.mark.parametrize("form", ["ids and ids back", "text, older form"])
def test_side_by_side_the_scores_are_the_same(form, tiny, open_engine, forked_unit):
    model, hf, folder = tiny
    model.slot = None
    for name, value in FORMS[form].items():
        setattr(model, name, value)

    engine = open_engine(model_args={"tokenizer": folder}, concurrency=6)

    check_equal(by_key(engine.answer(forked_unit)), by_key(hf.answer(forked_unit)))


def test_generated_answers_are_those_of_the_hf_engine_too(tiny, open_engine, forked_unit):
    _, hf, folder = tiny

    mine = by_key(open_engine(model_args={"tokenizer": folder}).answer(forked_unit))

    for key, reply in by_key(hf.answer(forked_unit)).items():
        if key[1] == "generate":
            assert (mine[key].text, mine[key].status) == (reply.text, reply.status)
            assert mine[key].prompt_tokens == reply.prompt_tokens


def test_the_closer_is_scored_wherever_the_server_gives_ids(tiny, open_engine, forked_unit):
    _, _, folder = tiny

    replies = open_engine(model_args={"tokenizer": folder}).answer(forked_unit)

    ends = [score.end_logprob for reply in replies for score in reply.scores]
    assert ends
    assert None not in ends


def test_a_token_outside_the_first_few_is_asked_for_again_with_more(tiny, open_engine, forked_unit):
    model, _, folder = tiny
    engine = open_engine(model_args={"tokenizer": folder})
    model.server.heard.clear()

    list(engine.answer(forked_unit))

    counts = {body["logprobs"] for body in model.server.asked("/v1/completions")}
    assert 20 in counts
    assert max(counts) > 20


def test_a_token_that_the_server_never_names_is_an_error_not_a_guess(
    tiny, open_engine, forked_unit
):
    _, _, folder = tiny
    engine = open_engine(model_args={"tokenizer": folder, "logprobs": 20})

    replies = [reply for reply in engine.answer(forked_unit) if reply.mode == "rank"]

    assert {(reply.status, reply.reason, reply.scores) for reply in replies} == {
        ("error", "logprobs", ())
    }


def test_a_server_that_refuses_more_log_probabilities_gives_error_rows(
    tiny, open_engine, forked_unit
):
    model, _, folder = tiny
    model.most = 20
    engine = open_engine(model_args={"tokenizer": folder})

    replies = [reply for reply in engine.answer(forked_unit) if reply.mode == "rank"]

    assert {(reply.status, reply.reason) for reply in replies} == {("error", "http_400")}


def test_candidates_that_begin_alike_are_asked_once_as_far_as_they_do(tiny, open_engine, asked):
    model, _, folder = tiny
    engine = open_engine(model_args={"tokenizer": folder})
    request = asked("q", 1, "Which locker is mine?")[1]
    ids = [engine._local.prompter.candidate(text) for text in ("red", "red green")]
    prefixes = {tuple(one[:place]) for one in ids for place in range(len(one) + 1)}
    model.server.heard.clear()

    list(engine.answer(Unit("d", (replace(request, candidates=("red", "red green")),))))

    first = [b for b in model.server.asked("/v1/completions") if b["logprobs"] == 20]
    assert len(first) == len(prefixes) < sum(len(one) + 1 for one in ids)


class TestWithout:
    """No log-probabilities: ranking is refused before anything is asked, never replaced."""

    @pytest.fixture
    def without(self, server, open_engine, checkpoints, act, answer):
        server.chat = lambda _: act(answer(prompt=500))
        return open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})

    def test_a_server_without_completions_cannot_rank(self, without):
        abilities = without.abilities()

        assert (abilities.generate, abilities.rank) == (True, False)
        assert abilities.rank_refusal == "the server has no /completions"

    def test_a_server_that_ignores_logprobs_in_silence_cannot_rank(
        self, server, open_engine, checkpoints, act, answer
    ):
        usual = server.usual
        plain = {"choices": [{"text": " a"}], "usage": {}}
        server.act = lambda heard: act(plain) if heard.path == "/v1/completions" else usual(heard)
        server.chat = lambda _: act(answer(prompt=500))

        engine = open_engine(model_args={"tokenizer": str(checkpoints["qwen2"])})

        assert "gives no log-probabilities" in engine.abilities().rank_refusal

    def test_a_tokenizer_that_encodes_otherwise_cannot_rank(self, tiny, open_engine):
        model, _, folder = tiny
        model.ids = False
        read = model.read
        model.read = lambda ids: read([0, *ids])

        engine = open_engine(model_args={"tokenizer": folder})

        assert "tokens of a prompt that the tokenizer here makes" in engine.abilities().rank_refusal

    def test_without_a_tokenizer_here_there_is_no_ranking(self, open_engine):
        assert "-M tokenizer=" in open_engine().abilities().rank_refusal

    def test_the_engine_refuses_before_it_sends_anything(self, without, server, forked_unit):
        server.heard.clear()

        with pytest.raises(EngineError, match="cannot rank candidates") as caught:
            list(without.answer(forked_unit))

        assert caught.value.fix == ("--mode generate",)
        assert server.heard == []


def entry(text, number=None, data=b""):
    return NamedToken(number, text, data, -1.0)


class TestFinding:
    """A token among those that a server names."""

    @pytest.fixture
    def local(self, open_tiny):
        return Local(open_tiny()[0]._prompter, "tiny", None)

    def test_ids_win_over_text(self, local):
        (token,) = local.prompter.candidate("4")

        found = find(token, [entry("4", token + 1), entry("x", token)], local)

        assert found == entry("x", token)

    def test_bytes_win_over_text(self, local):
        (token,) = local.prompter.candidate("4")

        found = find(token, [entry("4", data=b"5"), entry("?", data=b"4")], local)

        assert found == entry("?", data=b"4")

    def test_a_text_that_two_entries_have_is_nobodys(self, local):
        (token,) = local.prompter.candidate("4")

        assert find(token, [entry("4"), entry("4")], local) is None

    def test_a_part_of_a_character_is_not_found_by_text(self, local):
        token = local.prompter.candidate("\u4f60")[0]

        assert find(token, [entry("\ufffd")], local) is None
