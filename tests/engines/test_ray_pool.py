"""Sharing units out over workers that may die, without Ray."""

import pickle
from collections import Counter, deque
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_bench.chat.messages import Message
from qwen_bench.engines.ray.pool import (
    IN_FLIGHT,
    LOST_IN_A_ROW,
    START_SECONDS,
    TRIES,
    Pool,
    WorkerLostError,
)
from qwen_bench.engines.ray.ray_engine import PooledEngine
from qwen_bench.engines.ray.worker import Answered, Opened, WorkerRefusal
from qwen_bench.errors import (
    AdapterMismatchError,
    DataError,
    EngineError,
    InputError,
    MissingExtraError,
    NotComparableError,
)
from qwen_bench.protocol import Abilities, Identity, Reply, Request, Unit
from qwen_bench.record.counters import Counters
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo

ALIKE = Identity(
    ModelInfo(spec="m", label="m", kind="local", fingerprint="one", dtype="float32"),
    TemplateInfo(),
    DecodingInfo(),
    EngineInfo(name="fake"),
)


def changed(section, identity=ALIKE, **fields):
    """An identity with some fields of one section replaced."""
    return replace(identity, **{section: getattr(identity, section).model_copy(update=fields)})


class FakeWorker:
    """Answers "yes"; the counters tell how much it did."""

    def __init__(self, number, identity):
        self.number = number
        self.identity = identity
        self.place = None
        self.done = Counters(load_seconds=1.0 + number, peak_memory_bytes=100 + number)

    def start(self):
        return self.number

    def open(self, place):
        self.place = place
        self.done = replace(self.done, requests=0, forward_tokens=0)
        return Opened(self.identity, Abilities(), replace(self.done))

    def answer(self, unit):
        assert self.place is not None
        replies = tuple(Reply(item.id, item.mode, "ok", text="yes") for item in unit.requests)
        self.done.requests += len(replies)
        self.done.forward_tokens += 10
        return Answered(replies, replace(self.done))


class FakeCluster:
    """Carries out one call each time it is waited for.

    Args:
        dies: whether a worker dies at a call; given its number, the method and the unit.
        pick: which of the workers with calls goes on, by their count.
        identity: of a worker, by number.
        full: numbers of workers that never find a place.
        broken: what a call gives instead, by number and method.
    """

    def __init__(self, dies=None, pick=lambda _: 0, identity=lambda _: ALIKE, full=(), broken=None):
        self.dies = dies or (lambda *_: False)
        self.pick = pick
        self.identity = identity
        self.full = full
        self.broken = broken or {}
        self.begun = 0
        self.queues = {}
        self.results = {}
        self.ended = []
        self.most_in_flight = 0
        self.given = []
        self.killed = Counter()
        self.calls = 0
        self.patience = []

    def begin(self):
        worker = FakeWorker(self.begun, self.identity(self.begun))
        self.begun += 1
        self.queues[worker] = deque()
        return worker

    def call(self, worker, method, *arguments):
        self.calls += 1
        if worker not in self.queues:
            self.results[self.calls] = None
            return self.calls
        self.queues[worker].append((self.calls, method, arguments))
        if method == "answer":
            self.given.append((worker.number, arguments[0].dialogue))
            at_once = sum(name == "answer" for _, name, _ in self.queues[worker])
            self.most_in_flight = max(self.most_in_flight, at_once)
        return self.calls

    def wait(self, calls, seconds):
        self.patience.append(seconds)
        while not (ended := set(calls) & self.results.keys()):
            busy = [
                worker
                for worker, queue in self.queues.items()
                if worker.number not in self.full and any(item[0] in calls for item in queue)
            ]
            if not busy:
                break
            self.carry_out(busy[self.pick(len(busy))])
        assert ended or seconds is not None, "waits for ever"
        return ended

    def carry_out(self, worker):
        call, method, arguments = self.queues[worker].popleft()
        unit = arguments[0] if method == "answer" else None
        if self.dies(worker.number, method, unit):
            self.killed[unit.dialogue if unit else method] += 1
            self.results |= {call: None} | {item[0]: None for item in self.queues.pop(worker)}
        elif (worker.number, method) in self.broken:
            self.results[call] = self.broken[worker.number, method]
        else:
            self.results[call] = getattr(worker, method)(*arguments)

    def result(self, call):
        found = self.results.pop(call)
        if found is None:
            raise WorkerLostError("killed by a test")
        return found

    def end(self, worker):
        self.queues.pop(worker, None)
        self.ended.append(worker.number)


def units(number_of_units, requests=2):
    messages = (Message("user", "Is it?"),)
    return [
        Unit(
            f"d{number}",
            tuple(Request(f"d{number}-{i}", messages, "generate") for i in range(requests)),
        )
        for number in range(number_of_units)
    ]


def asked(cluster, size=2, total=6):
    """Pool and the replies to that many units."""
    pool = Pool(cluster, size)
    pool.open(0)
    return pool, [reply for replies in pool.answers(iter(units(total))) for reply in replies]


def by_key(replies):
    found = {(reply.id, reply.mode): reply for reply in replies}
    assert len(found) == len(replies)
    return found


def test_every_unit_is_answered_once_by_workers_that_have_two_units_at_most():
    cluster = FakeCluster(pick=lambda count: count - 1)

    pool, replies = asked(cluster, size=3, total=20)

    assert len(by_key(replies)) == 40
    assert cluster.most_in_flight == IN_FLIGHT == 2
    assert {number for number, _ in cluster.given} == {0, 1, 2}
    assert pool.retries == 0


def test_units_are_taken_only_when_there_is_room_and_in_the_order_given():
    cluster = FakeCluster()
    pool = Pool(cluster, 2)
    pool.open(0)
    taken = []

    def source():
        for unit in units(8):
            taken.append(unit.dialogue)
            yield unit

    answers = pool.answers(source())

    next(answers)
    assert taken == ["d0", "d1", "d2", "d3"]
    assert [dialogue for _, dialogue in cluster.given] == taken
    list(answers)
    assert taken == [f"d{number}" for number in range(8)]


def test_a_unit_alone_goes_to_each_idle_worker_before_any_gets_a_second():
    cluster = FakeCluster()

    asked(cluster, size=2, total=2)

    assert cluster.given == [(0, "d0"), (1, "d1")]


def test_a_worker_that_dies_once_changes_no_reply():
    undisturbed = by_key(asked(FakeCluster())[1])
    deaths = []

    def dies(number, method, unit):
        if method == "answer" and unit.dialogue == "d1" and not deaths:
            deaths.append(number)
            return True
        return False

    cluster = FakeCluster(dies)
    pool, replies = asked(cluster)

    assert deaths
    assert by_key(replies) == undisturbed
    assert pool.retries == 2, "the unit at work and the one that waited were given out again"
    assert cluster.begun == 3
    assert deaths[0] in cluster.ended


def test_a_unit_that_kills_its_worker_is_given_up_after_three_tries_and_the_rest_is_answered():
    cluster = FakeCluster(lambda _, method, unit: method == "answer" and unit.dialogue == "d2")

    _, replies = asked(cluster, total=7)

    found = by_key(replies)
    lost = [reply for reply in found.values() if reply.status == "error"]
    assert {reply.id for reply in lost} == {"d2-0", "d2-1"}
    assert {reply.reason for reply in lost} == {"worker"}
    assert {reply.error_type for reply in lost} == {"WorkerDied"}
    assert {reply.error_message for reply in lost} == {
        "the worker process died 3 times at this dialogue"
    }
    assert len(found) == 14
    assert sum(dialogue == "d2" for _, dialogue in cluster.given) == TRIES


def test_only_the_unit_at_work_is_charged_with_a_death_and_both_are_given_out_again_first():
    """One worker, so each deadly unit is also the one that waits when the other kills it."""
    deadly = {"d0", "d1"}
    cluster = FakeCluster(lambda _, method, unit: method == "answer" and unit.dialogue in deadly)

    _, replies = asked(cluster, size=1, total=4)

    assert {reply.id[:2] for reply in replies if reply.status == "error"} == deadly
    assert cluster.killed == {"d0": TRIES, "d1": TRIES}
    assert [dialogue for _, dialogue in cluster.given[:4]] == ["d0", "d1", "d1", "d0"]


def test_single_deadly_units_do_not_end_the_run_however_many_they_are():
    cluster = FakeCluster(
        lambda _, method, unit: method == "answer" and int(unit.dialogue[1:]) % 2 == 0
    )

    _, replies = asked(cluster, size=1, total=2 * LOST_IN_A_ROW + 4)

    assert Counter(reply.status for reply in replies) == {"ok": 14, "error": 14}


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 3),
    deadly=st.lists(st.booleans(), max_size=40),
    picks=st.lists(st.integers(0, 5), max_size=60),
    total=st.integers(0, 9),
)
def test_whatever_dies_every_request_gets_exactly_one_reply(size, deadly, picks, total):
    fates, chosen = iter(deadly), iter(picks)
    cluster = FakeCluster(
        lambda _, method, __: method == "answer" and next(fates, False),
        lambda alive: next(chosen, 0) % alive,
    )

    try:
        _, replies = asked(cluster, size, total)
    except EngineError as error:
        assert f"{LOST_IN_A_ROW} dialogues in a row" in error.message  # noqa: PT017 - either is right
        return

    assert by_key(replies).keys() == {
        (request.id, "generate") for unit in units(total) for request in unit.requests
    }


def test_when_every_unit_kills_its_worker_the_pool_gives_up_with_a_clear_error():
    cluster = FakeCluster(lambda _, method, __: method == "answer")
    pool = Pool(cluster, 2)
    pool.open(0)
    replies = []

    with pytest.raises(EngineError, match="dialogues in a row killed their workers") as caught:
        replies.extend(pool.answers(iter(units(50))))

    assert len(replies) == LOST_IN_A_ROW
    assert caught.value.fix


def test_workers_that_die_while_loading_end_the_opening():
    cluster = FakeCluster(lambda number, method, _: method == "open" and number != 0)

    with pytest.raises(EngineError, match="a worker cannot be started") as caught:
        Pool(cluster, 2).open(0)

    assert cluster.begun == 1 + TRIES
    assert caught.value.why[-1] == "Ray says: killed by a test"


def test_a_worker_that_cannot_be_replaced_leaves_its_work_to_the_others():
    def dies(number, method, unit):
        first = number == 0 and method == "answer" and unit.dialogue == "d0"
        return first or (number > 1 and method == "open")

    cluster = FakeCluster(dies, pick=lambda count: count - 1)

    pool, replies = asked(cluster, total=9)

    assert {reply.status for reply in replies} == {"ok"}
    assert len(replies) == 18
    assert cluster.begun == 2 + TRIES
    assert len(pool._slots) == 1


def test_when_no_worker_is_left_the_run_ends_with_an_error():
    cluster = FakeCluster(
        lambda number, method, _: method == "answer" or (number > 1 and method == "open")
    )
    pool = Pool(cluster, 2)
    pool.open(0)

    with pytest.raises(EngineError, match="a worker cannot be started"):
        list(pool.answers(iter(units(9))))


def test_a_worker_without_a_place_on_the_cluster_is_waited_for_only_so_long():
    cluster = FakeCluster(full={1})
    pool = Pool(cluster, 2)

    with pytest.raises(EngineError, match="a worker cannot be started") as caught:
        pool.open(0)

    assert "found no place on the cluster within 300 seconds" in caught.value.why[0]
    assert 1 in cluster.ended
    assert set(cluster.patience) == {START_SECONDS}


def test_loading_may_take_longer_than_finding_a_place():
    cluster = FakeCluster()

    opened = Pool(cluster, 1).open(0)

    assert len(opened) == 1
    assert cluster.patience == [START_SECONDS, None], "until it is up, and while it loads"


@pytest.mark.parametrize(
    "other",
    [
        changed("model", fingerprint="two"),
        changed("model", dtype="bfloat16"),
        changed("template", chat_template_sha256="x"),
        changed("generation", repetition_penalty=1.1),
        changed("engine", device="cuda"),
    ],
)
def test_workers_that_would_answer_differently_are_refused(other):
    cluster = FakeCluster(identity=lambda number: other if number == 1 else ALIKE)

    with pytest.raises(EngineError, match="would not give the same answers") as caught:
        Pool(cluster, 3).open(0)

    assert len(caught.value.why) == 1


def test_a_replacement_that_would_answer_differently_is_refused_too():
    other = changed("model", fingerprint="two")
    cluster = FakeCluster(
        lambda number, method, _: method == "answer" and number == 0,
        identity=lambda number: other if number else ALIKE,
    )
    pool = Pool(cluster, 1)
    pool.open(0)

    with pytest.raises(EngineError, match="would not give the same answers"):
        list(pool.answers(iter(units(2))))


def test_what_changes_no_answer_may_differ_and_is_said():
    def identity(number):
        alike = replace(ALIKE, warnings=("careful",))
        return changed("engine", alike, threads=number, prefix_sharing=("a", "b")[number])

    engine = PooledEngine(Pool(FakeCluster(identity=identity), 2), 0)

    assert engine.identity().warnings == ("careful", "the workers compute in different ways: a, b")
    assert engine.identity().engine.replicas == 2


def test_a_fault_that_the_user_must_mend_passes_as_itself_and_is_not_tried_again():
    refused = WorkerRefusal.of(InputError("no such file", fix="write another"))
    cluster = FakeCluster(broken={(0, "answer"): refused})
    pool = Pool(cluster, 1)
    pool.open(0)

    with pytest.raises(InputError, match="no such file") as caught:
        list(pool.answers(iter(units(3))))

    assert caught.value.fix == ("write another",)
    assert cluster.begun == 1


class AllAtOnce(FakeCluster):
    """Every worker ends a call before the pool looks again."""

    def wait(self, calls, seconds):
        super().wait(calls, seconds)
        for worker in [worker for worker, queue in self.queues.items() if queue]:
            self.carry_out(worker)
        return set(calls) & self.results.keys()


def test_replies_that_came_beside_an_error_are_given_before_it():
    refused = WorkerRefusal.of(InputError("no such file"))
    pool = Pool(AllAtOnce(broken={(0, "answer"): refused}), 2)
    pool.open(0)
    replies = []

    with pytest.raises(InputError):
        replies.extend(pool.answers(iter(units(2))))

    assert [reply.id for found in replies for reply in found] == ["d1-0", "d1-1"]


def test_a_pool_left_between_the_two_losses_of_a_dead_worker_still_replaces_it():
    class OneByOne(FakeCluster):
        def wait(self, calls, seconds):
            return {min(super().wait(calls, seconds), default=None)} - {None}

    cluster = OneByOne(
        lambda number, method, unit: number < TRIES and method == "answer" and unit.dialogue == "d0"
    )
    pool = Pool(cluster, 1)
    pool.open(0)
    answers = pool.answers(iter(units(6)))
    given_up = next(reply for found in answers for reply in found if reply.status == "error")
    answers.close()

    replies = [reply for found in pool.answers(iter(units(2))) for reply in found]

    assert given_up.id == "d0-0"
    assert {reply.status for reply in replies} == {"ok"}
    assert len(replies) == 4


@pytest.mark.parametrize(
    "error",
    [
        InputError("typed wrongly", why="because", fix=("this", "that")),
        DataError("file", 3, "bad"),
        MissingExtraError("hf", "torch"),
        AdapterMismatchError("does not fit"),
        NotComparableError("differ", [("a", 1, 2)]),
    ],
)
def test_every_error_for_users_survives_the_way_between_processes(error):
    again = pickle.loads(pickle.dumps(WorkerRefusal.of(error))).error  # noqa: S301 - our own bytes

    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)


def test_counters_are_sums_with_the_peaks_of_one_worker_and_those_of_the_dead():
    cluster = FakeCluster(
        lambda number, method, unit: (
            number == 0 and method == "answer" and unit.dialogue not in {"d0", "d2"}
        )
    )
    engine = PooledEngine(Pool(cluster, 1), 0)

    replies = list(engine.answer_all(iter(units(5))))

    counters = engine.counters()
    assert counters.requests == len(replies) == 10
    assert counters.forward_tokens == 50
    assert counters.peak_memory_bytes == 101
    assert counters.load_seconds == 2.0
    assert counters.retries == 2
    assert counters.seconds > 0


def test_the_workers_go_on_to_the_next_model_and_its_counters_begin_at_zero():
    places = []

    def dies(number, method, _):
        places.extend([number] if method == "open" else [])
        return method == "open" and places == [0, 1, 0]

    cluster = FakeCluster(dies)
    pool = Pool(cluster, 2)
    first = PooledEngine(pool, 0)
    list(first.answer_all(iter(units(3))))

    second = PooledEngine(pool, 1)

    assert cluster.killed == {"open": 1}
    assert {worker.place for worker in cluster.queues} == {1}
    assert len(list(second.answer(units(1)[0]))) == 2
    assert second.counters().requests == 2


def test_a_pool_left_in_the_middle_can_be_asked_again_and_gives_no_old_reply():
    cluster = FakeCluster()
    pool = Pool(cluster, 2)
    pool.open(0)
    answers = pool.answers(iter(units(8)))
    next(answers)
    answers.close()

    again = [unit for unit in units(8) if unit.dialogue in {"d6", "d7"}]
    replies = [reply for found in pool.answers(iter(again)) for reply in found]

    assert {reply.id for reply in replies} == {"d6-0", "d6-1", "d7-0", "d7-1"}


def test_a_pool_left_while_its_workers_are_replaced_waits_for_the_new_ones():
    cluster = FakeCluster(
        lambda number, method, unit: (
            (method == "answer" and (number == 0 or (number == 1 and unit.dialogue != "d1")))
            or (method == "open" and number > 2)
        )
    )
    pool = Pool(cluster, 2)
    pool.open(0)
    answers = pool.answers(iter(units(2)))
    assert next(answers)[0].id == "d1-0"
    assert [slot.opened is None for slot in pool._slots] == [True, False]
    answers.close()

    replies = [reply for found in pool.answers(iter(units(1))) for reply in found]

    assert [reply.id for reply in replies] == ["d0-0", "d0-1"]
    assert cluster.killed["d0"] == 2


def test_ending_the_pool_ends_every_worker():
    cluster = FakeCluster()
    pool = Pool(cluster, 3)
    pool.open(0)

    pool.end()

    assert sorted(cluster.ended) == [0, 1, 2]
