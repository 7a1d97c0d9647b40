"""Tiny checkpoints on disk, made once, and the plain reference answers are compared with."""

import random
from typing import NamedTuple

import pytest

from qwen_bench.chat.messages import Message
from qwen_bench.protocol import Request, Unit
from qwen_bench.testing import tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folder of a tiny checkpoint by family."""
    root = tmp_path_factory.mktemp("tiny")
    return {
        family: tiny_checkpoint(root / family, family)
        for family in ("qwen2", "qwen3", "llama", "qwen3_5", "gemma3")
    }


@pytest.fixture
def open_tiny(checkpoints):
    """Loads a tiny model and gives an engine on it; `change` may alter the loaded base first."""
    from qwen_bench.chat.rendering import ChatSettings, choose_template
    from qwen_bench.engines.engine_options import EngineOptions
    from qwen_bench.engines.hf.hf_engine import HfEngine
    from qwen_bench.engines.loading import load_base, shipped_template
    from qwen_bench.engines.model_spec import parse_spec

    def open_one(family="qwen2", change=None, **options):
        spec = parse_spec(str(checkpoints[family]))
        base = load_base(spec, EngineOptions())
        engine_options = dict(options)
        settings = ChatSettings(choose_template(None, shipped_template(base.tokenizer), family))
        if change is not None:
            change(base)
        return HfEngine(base, settings, spec, **engine_options), base

    return open_one


TURNS = (
    ("My cat is called Biscuit.", "Noted."),
    ("My locker is number 44.", "Thank you."),
    ("The meeting moved to Friday.", "Yes, Friday."),
)
CANDIDATES = ("44", "Biscuit", "red green", "red")


def conversation(length, question):
    """The first `length` scripted turns, then a question."""
    history = [
        message
        for user, assistant in TURNS[:length]
        for message in (Message("user", user), Message("assistant", assistant))
    ]
    return (*history, Message("user", question))


def asked(key, length, question, *, budget=6):
    """A generating and a ranking request for one prompt."""
    messages = conversation(length, question)
    return (
        Request(key, messages, "generate", max_new_tokens=budget),
        Request(key, messages, "rank", CANDIDATES),
    )


@pytest.fixture(name="asked")
def asked_fixture():
    """See `asked`."""
    return asked


@pytest.fixture
def forked_unit():
    """Prompts that fork at several depths, at zero, that are equal, and inside one another."""
    return Unit(
        "dialogue",
        (
            *asked("short", 1, "Which locker is mine?"),
            *asked("long", 3, "Which locker is mine?"),
            *asked("same", 3, "Which locker is mine?", budget=3),
            *asked("other", 3, "What is the name of my cat?"),
            *asked("blind", 0, "What is the name of my cat?"),
        ),
    )


class Plain:
    """The reference: transformers with one whole prompt at a time and no cache of ours."""

    def __init__(self, base, engine):
        self.base = base
        self.prompter = engine._prompter
        self.stops = engine._stops

    def written(self, request):
        """(text, number of tokens) of `generate`."""
        import torch

        ids = torch.tensor([self.prompter.prompt(request.messages).ids])
        output = self.base.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request.max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(self.stops.ids),
        )
        tokens = output[0, ids.shape[1] :].tolist()
        words = tokens[:-1] if tokens[-1] in self.stops.ids else tokens
        return self.prompter.text(words), len(tokens)

    def scores(self, request):
        """(sum, end) by candidate from the full log-softmax of the whole text."""
        import torch

        prompt = self.prompter.prompt(request.messages).ids
        found = []
        for text in request.candidates:
            own = self.prompter.candidate(text)
            with torch.inference_mode():
                logits = self.base.model(torch.tensor([prompt + own])).logits[0].float()
            logprobs = logits.log_softmax(-1)
            total = sum(float(logprobs[len(prompt) + i - 1, t]) for i, t in enumerate(own))
            found.append((total, float(logprobs[-1, self.stops.end_of_turn])))
        return found

    def check(self, unit, replies, tolerance=1e-4):
        """Compare all replies of a unit; every request has exactly one."""
        by_key = {(reply.id, reply.mode): reply for reply in replies}
        assert len(by_key) == len(replies) == len(unit.requests)
        for request in unit.requests:
            reply = by_key[request.id, request.mode]
            if request.mode == "generate":
                assert (reply.text, reply.output_tokens) == self.written(request)
            else:
                own = [(score.logprob, score.end_logprob) for score in reply.scores]
                for mine, theirs in zip(own, self.scores(request), strict=True):
                    assert mine == pytest.approx(theirs, abs=tolerance)


@pytest.fixture
def plain():
    """Maker of the reference: `plain(base, engine)`."""
    return Plain


class Outcome(NamedTuple):
    """Results by prompt, and counters."""

    results: dict
    counters: object


def compute(model, prompts, *, strategy="two-part", budget=6, candidates=None, **limits):
    """Generate after prompts of token ids; with `candidates`, ids for each prompt, rank them."""
    import torch

    from qwen_bench.engines.decoding import Budget, Stopping
    from qwen_bench.engines.hf.forward import Forward
    from qwen_bench.engines.hf.selfcheck import STRATEGIES
    from qwen_bench.engines.hf.tasks import Computation, Limits, Task, TreeCounters
    from qwen_bench.engines.prefix_tree import PrefixTree
    from qwen_bench.record.counters import Counters

    counters = Counters()
    forward = Forward(model, model.config, torch.device("cpu"), model.dtype, counters)
    tree, tasks = PrefixTree(), []
    for number, prompt in enumerate(prompts):
        end = tree.insert(prompt)
        nodes = [tree.insert(ids, end) for ids in (candidates[number] if candidates else ())]
        paths = tuple(tree.path(node, len(prompt)) for node in nodes)
        tasks.append(Task(number, end, paths, Budget(0 if paths else budget, 0)))
    stopping = Stopping(frozenset(), str)
    work = Computation(tree, forward, TreeCounters(counters), Limits(**limits), stopping, CLOSER)
    with torch.inference_mode():
        batches = list(STRATEGIES[strategy](work, tasks))
    return Outcome({task.number: result for batch in batches for task, result in batch}, counters)


CLOSER = 2


class PlainIds:
    """The reference on token ids: whole prompts, one at a time, no cache of ours."""

    def __init__(self, model):
        self.model = model

    def tokens(self, prompt, budget=6):
        """What `generate` writes."""
        import torch

        ids = torch.tensor([prompt])
        output = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=budget,
            do_sample=False,
            eos_token_id=[],
        )
        return tuple(output[0, len(prompt) :].tolist())

    def scores(self, prompt, candidates):
        """(sum, closer) of each candidate from the full log-softmax."""
        import torch

        found = []
        for ids in candidates:
            with torch.inference_mode():
                logits = self.model(torch.tensor([[*prompt, *ids]])).logits[0].float()
            logprobs = logits.log_softmax(-1)
            total = sum(float(logprobs[len(prompt) + i - 1, t]) for i, t in enumerate(ids))
            found.append((total, float(logprobs[-1, CLOSER])))
        return found


@pytest.fixture(name="compute", scope="session")
def compute_fixture():
    """See `compute`."""
    return compute


@pytest.fixture
def plain_ids():
    """Maker of the reference on token ids: `plain_ids(model)`."""
    return PlainIds


def forked(lengths, questions, *, seed=0, longest=9, vocabulary=512):
    """Prompts of random ids: `questions` of them fork off one history at each length."""
    source = random.Random(seed)  # noqa: S311 - any numbers will do

    def draw(count):
        return [source.randrange(3, vocabulary) for _ in range(count)]

    line = draw(max(lengths))
    return [
        [*line[:length], *draw(source.randint(1, longest))]
        for length in lengths
        for _ in range(questions)
    ]


@pytest.fixture(name="forked")
def forked_fixture():
    """See `forked`."""
    return forked
