"""The engine on OpenAI-compatible servers, one or several of one model.

Sends the requests of a dialogue in the order of their prefix tree, so that a server's own cache can
share what they share. Of several servers each has dialogues of its own, always the same ones, so
that what its cache holds of a dialogue is used. Knows requests and replies; what servers can do is
in `capabilities`, what goes out and comes back in `one_server`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import Lock

from qwen_bench.chat.rendering import effective_thinking
from qwen_bench.engines.complete_replies import complete
from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import ModelSpec
from qwen_bench.engines.openai.address import address_of, read_addresses
from qwen_bench.engines.openai.capabilities import survey
from qwen_bench.engines.openai.chat_response import RequestCounters
from qwen_bench.engines.openai.client import Client, Patience, ServerError, refusal
from qwen_bench.engines.openai.one_server import Replied, Server
from qwen_bench.engines.openai.server_identity import describe
from qwen_bench.engines.openai.server_request import (
    Local,
    ServerRequest,
    in_tree_order,
    load_local,
    prepare,
    tree_tokens,
)
from qwen_bench.errors import EngineError, InputError, QwenBenchError
from qwen_bench.protocol import Abilities, Engine, Identity, Reply, Unit
from qwen_bench.record.counters import Counters

KEY_VARIABLE = "OPENAI_API_KEY"
AHEAD = 2
"""Units taken for each server: one at work, one waiting."""
_Answered = Reply | QwenBenchError | None


class OpenAIEngine:
    """Implements `qwen_bench.protocol.Engine` on one server, or several of one model.

    Args:
        spec: ``openai:NAME``.
        options: address, concurrency, policy and the arguments `tokenizer`, `timeout`,
            `max_retries` and `logprobs`.
        key: of the account; the environment's by default.

    Raises:
        InputError: no address, or an option that needs what is not given or cannot be applied.
        EngineError: a server is not there, refuses the key, or does not know the model.
        ModelError: the tokenizer cannot be loaded.
    """

    def __init__(self, spec: ModelSpec, options: EngineOptions, key: str | None = None) -> None:
        begun = time.perf_counter()
        addresses = read_addresses(options.base_url)
        local = load_local(options)
        _check_options(options, local)
        patience = Patience(
            float(options.model_args.get("timeout", Patience().timeout)),
            int(options.model_args.get("max_retries", Patience().max_retries)),
        )
        key = key if key is not None else os.environ.get(KEY_VARIABLE)
        self._options = options
        self._local = local
        self._clients = tuple(Client(address, spec.name, key, patience) for address in addresses)
        self._servers = tuple(self._surveyed(client) for client in self._clients)
        _check_same(self._servers)
        self._identity = describe(self._servers, spec, options, patience)
        self._counters = Counters(load_seconds=time.perf_counter() - begun)
        self._lock = Lock()
        self._model = spec.name

    def identity(self) -> Identity:
        """Who answers, as the server says; its weights cannot be verified."""
        return self._identity

    def abilities(self) -> Abilities:
        """What every one of the servers was seen to do."""
        surveys = [server.survey for server in self._servers]
        why = next((found.ranks.why_not for found in surveys if found.ranks.method is None), None)
        local = self._local
        return Abilities(
            rank=why is None,
            rank_refusal=why,
            max_context=self._servers[0].limit,
            system_messages=all(found.system_messages for found in surveys)
            and (local is None or local.prompter.takes_system()),
        )

    def counters(self) -> Counters:
        """Work done so far; tokens of the forward are None once a server did not tell them."""
        return replace(self._counters)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def answer(self, unit: Unit) -> Iterator[Reply]:
        """One reply for each request, in the order of the tree, as they come.

        Raises:
            EngineError: the server refuses all requests.
            TemplateError: the template here loses part of a conversation.
        """
        begun, cpu = time.perf_counter(), time.process_time()
        server = self._servers[address_of(unit.dialogue, len(self._servers))]
        # Units of several servers are prepared in threads, a tokenizer serves one at a time.
        with self._local.lock if self._local is not None else nullcontext():
            asked = [
                prepare(request, self._options.policy, self._options.system, self._local)
                for request in unit.requests
            ]
        if any(item.request.mode == "rank" for item in asked) and not self.abilities().rank:
            raise EngineError(
                f"the server at {server.client.address.host} cannot rank candidates",
                why=self.abilities().rank_refusal or (),
                fix="--mode generate",
            )
        ordered = in_tree_order([item for item in asked if item.refused(server.limit) is None])
        with self._lock:
            self._counters.encode_seconds += time.perf_counter() - begun
            self._counters.tree_tokens += tree_tokens(ordered)
            self._counters.requests += len(asked) - len(ordered)
        for item in asked:
            reply = item.refused(server.limit)
            if reply is not None:
                yield reply
        for replied in self._replies(server, ordered):
            with self._lock:
                self._add_up(replied.counters, replied.naive_tokens)
                self._counters.requests += 1
                self._counters.seconds += time.perf_counter() - begun
                self._counters.cpu_seconds += time.process_time() - cpu
            yield replied.reply
            begun, cpu = time.perf_counter(), time.process_time()

    def _replies(self, server: Server, ordered: Sequence[ServerRequest]) -> Iterator[Replied]:
        """Ask in order, several at a time; what was not begun when the caller stops is left."""
        lanes = min(self._lanes(server), len(ordered))
        try:
            if lanes > 1 and server.survey.cached_in_blocks:
                primed = server.prime(max(ordered, key=lambda item: item.size))
                with self._lock:
                    self._add_up(primed, 0)
            if lanes <= 1:
                for asked in ordered:
                    yield server.ask(asked)
                return
            pool = ThreadPoolExecutor(lanes)
            try:
                for replied in pool.map(server.ask, ordered):
                    reply = replace(replied.reply, seconds=replied.reply.seconds / lanes)
                    yield replied._replace(reply=reply)
            finally:
                pool.shutdown(cancel_futures=True)
        except ServerError as fault:
            fault.served = server.survey.served
            raise refusal(fault, server.client.address.host, self._model) from None

    def _lanes(self, server: Server) -> int:
        """Requests at a time: not more than llama.cpp has slots, each with a cache of its own."""
        slots = server.survey.slots
        wanted = max(1, self._options.concurrency)
        return wanted if slots is None else max(1, min(wanted, slots))

    def _add_up(self, more: RequestCounters, naive_tokens: int) -> None:
        counters = self._counters
        counters.naive_tokens += naive_tokens
        counters.decoded_tokens += more.decoded_tokens
        counters.retries += more.retries
        counters.rows_max = max(counters.rows_max, 1)
        if more.forward_tokens is None or counters.forward_tokens is None:
            counters.forward_tokens = None
        else:
            counters.forward_tokens += more.forward_tokens

    def _surveyed(self, client: Client) -> Server:
        most = self._options.model_args.get("logprobs")
        local = self._local
        try:
            found = survey(client, self._options.thinking, local)
        except ServerError as fault:
            raise refusal(fault, client.address.host, client.model) from None
        own, counted = found.own_greeting_tokens, found.greeting_tokens
        if own is not None and counted is not None and counted < own:
            raise EngineError(
                f"the server at {client.address.host} makes {counted} tokens of a greeting that "
                f"has {own} here",
                why="the tokenizer given, or its template, is not the one of the server",
                fix="give the model's own with -M tokenizer=HUB_ID|FOLDER, or none",
            )
        thinks = found.thinks
        limits = [self._options.max_context, found.max_context]
        end_of_turn = None
        if local is not None:
            prompter = local.prompter
            thinks |= effective_thinking(prompter.settings, prompter.tokenizer) == "on"
            limits.append(local.context_window)
            end_of_turn = prompter.stop_tokens(()).end_of_turn
        limit = next((limit for limit in limits if limit is not None), None)
        return Server(
            client,
            found,
            thinks,
            local,
            limit,
            end_of_turn,
            int(most) if most is not None else None,
        )


def _check_options(options: EngineOptions, local: Local | None) -> None:
    """Refuse what a server cannot be made to do.

    Raises:
        InputError: such an option.
    """
    if options.chat_template is not None:
        raise InputError(
            "--chat-template cannot be applied on a server: it renders the conversation itself",
            fix="start the server with that template, or run the model with the hf engine",
        )
    if local is not None:
        return
    if options.policy.counts_tokens:
        raise InputError(
            f"the history policy {options.policy} counts tokens; pass -M tokenizer=HUB_ID|FOLDER",
            why="a server counts only what it is sent",
        )
    if options.system == "none":
        raise InputError(
            "--system none needs the model's template; pass -M tokenizer=HUB_ID|FOLDER",
            why="an empty system message is sent only where the template would insert a text",
        )


def _check_same(servers: Sequence[Server]) -> None:
    """Refuse servers that do not serve the same model in the same way.

    Raises:
        InputError: they differ.
    """
    first = servers[0]
    for server in servers[1:]:
        if (server.limit, server.survey.served) != (first.limit, first.survey.served):
            raise InputError(
                f"--base-url: {first.client.address.host} and {server.client.address.host} do not "
                "serve the same models with the same context window"
            )


def open_servers(spec: ModelSpec, options: EngineOptions) -> Engine:
    """The engine on the server of `options.base_url`, or on all; errors as `OpenAIEngine`."""
    several = len(read_addresses(options.base_url)) > 1
    return SeveralServers(spec, options) if several else OpenAIEngine(spec, options)


class SeveralServers(OpenAIEngine):
    """Implements `qwen_bench.protocol.SideBySideEngine`; arguments as `OpenAIEngine`."""

    def __init__(self, spec: ModelSpec, options: EngineOptions, key: str | None = None) -> None:
        super().__init__(spec, options, key)
        self._number = len(read_addresses(options.base_url))
        self._seconds = self._cpu_seconds = 0.0

    def counters(self) -> Counters:
        """Work done so far; the seconds are those that passed, not the sum over servers."""
        return replace(super().counters(), seconds=self._seconds, cpu_seconds=self._cpu_seconds)

    def answer_all(self, units: Iterator[Unit]) -> Iterator[Reply]:
        """One reply for each request of all units, as servers give them.

        Raises:
            EngineError: a server refuses all requests.
            TemplateError: the template here loses part of a conversation.
        """
        answered: SimpleQueue[_Answered] = SimpleQueue()
        # One thread a server keeps its dialogues apart: one after the other, as its cache wants it.
        servers = [ThreadPoolExecutor(1) for _ in range(self._number)]
        under_way = 0
        begun, cpu = time.perf_counter(), time.process_time()
        try:
            while True:
                while under_way < AHEAD * self._number and (unit := next(units, None)) is not None:
                    lane = servers[address_of(unit.dialogue, self._number)]
                    lane.submit(self._work, unit, answered)
                    under_way += 1
                if not under_way:
                    return
                found = answered.get()
                self._seconds += time.perf_counter() - begun
                self._cpu_seconds += time.process_time() - cpu
                if found is None:
                    under_way -= 1
                elif isinstance(found, Reply):
                    yield found
                else:
                    raise found
                begun, cpu = time.perf_counter(), time.process_time()
        finally:
            for lane in servers:
                lane.shutdown(cancel_futures=True)

    def _work(self, unit: Unit, answered: SimpleQueue[_Answered]) -> None:
        """Answer a unit in a thread; None at its end."""
        asked = {(request.id, request.mode): request for request in unit.requests}
        try:
            for _, reply in complete(partial(self.answer, unit), asked):
                answered.put(reply)
        except QwenBenchError as error:
            answered.put(error)
        answered.put(None)
