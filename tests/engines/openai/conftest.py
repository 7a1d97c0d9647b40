"""A server of a few lines that does whatever a test wants, and a tiny model behind it."""

import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from qwen_bench.engines.engine_options import EngineOptions
from qwen_bench.engines.model_spec import parse_spec
from qwen_bench.engines.openai.openai_engine import OpenAIEngine


@dataclass
class Act:
    """What the server does with one request: answers, waits first, or cuts the line."""

    body: object = None
    status: int = 200
    headers: dict = field(default_factory=dict)
    wait: float = 0.0
    cut: bool = False


@dataclass
class Heard:
    """A request as it came in."""

    path: str
    body: dict
    headers: dict


def chat_answer(text="Yes.", *, finish="stop", prompt=10, output=2, cached=None, **message):
    """A chat response."""
    usage = {"prompt_tokens": prompt, "completion_tokens": output}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


@pytest.fixture
def answer():
    """See `chat_answer`."""
    return chat_answer


@pytest.fixture
def act():
    """See `Act`."""
    return Act


class FakeServer:
    """Answers on a free port of this machine.

    Attributes:
        heard: every request, in order.
        act: decides; by default a server with chat and a list of models, and nothing else.
    """

    def __init__(self):
        self.heard = []
        self.act = self.usual
        self.models = {"object": "list", "data": [{"id": "m", "owned_by": "fake"}]}
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.serve(self)

            def do_POST(self):
                outer.serve(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def host(self):
        return f"127.0.0.1:{self.http.server_address[1]}"

    @property
    def url(self):
        return f"http://{self.host}/v1"

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def asked(self, path="/v1/chat/completions"):
        return [heard.body for heard in self.heard if heard.path == path]

    def usual(self, heard):
        if heard.path == "/v1/models":
            return Act(self.models)
        if heard.path == "/v1/chat/completions":
            return self.chat(heard.body)
        return Act({"error": {"message": "no such page"}}, 404)

    def chat(self, body):
        return Act(chat_answer(prompt=sum(len(m["content"]) for m in body["messages"])))

    def serve(self, handler):
        size = int(handler.headers.get("content-length") or 0)
        body = json.loads(handler.rfile.read(size)) if size else {}
        heard = Heard(handler.path, body, dict(handler.headers))
        with self.lock:
            self.heard.append(heard)
        action = self.act(heard)
        time.sleep(action.wait)
        if action.cut:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        data = action.body if isinstance(action.body, bytes) else json.dumps(action.body).encode()
        handler.send_response(action.status)
        for name, value in {"content-type": "application/json", **action.headers}.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@pytest.fixture
def server():
    """A `FakeServer`; it is stopped at the end."""
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def second():
    """Another `FakeServer`."""
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def open_engine(server):
    """Maker of engines on the fake server; they are closed at the end."""
    opened = []

    def open_one(name="m", key=None, url=None, **options):
        options.setdefault("model_args", {})
        options["model_args"] = {"max_retries": 1, "timeout": 5.0, **options["model_args"]}
        engine = OpenAIEngine(
            parse_spec(f"openai:{name}"), EngineOptions(base_url=url or server.url, **options), key
        )
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()


class TinyModel:
    """Makes a fake server answer with a tiny model, one whole prompt at a time.

    Attributes:
        ids: whether completions take token ids.
        echo: whether prompts come back with log-probabilities.
        content: log-probabilities in the form of llama.cpp (with ids), else the older one.
        most: most log-probabilities; more is refused.
        slot: what the one slot holds; None for a server without a cache.
    """

    def __init__(self, server, prompter, model, closer):
        self.server, self.prompter, self.model, self.end_of_turn = server, prompter, model, closer
        self.ids, self.echo, self.content, self.most = True, False, True, 2000
        self.slot = []
        self.computed = 0
        self.lock = threading.Lock()
        server.act = self.act

    def act(self, heard):
        with self.lock:
            if heard.path == "/v1/completions":
                return self.completion(heard.body)
            if heard.path == "/v1/chat/completions":
                return self.chat(heard.body)
            if heard.path == "/props" and self.slot is not None:
                return Act({"total_slots": 1})
            return self.server.usual(heard)

    def logprobs(self, ids):
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)

    def read(self, ids):
        """Usage of a prompt, with the cache of one slot."""
        usage = {"prompt_tokens": len(ids)}
        if self.slot is not None:
            pairs = enumerate(zip(self.slot, ids, strict=False))
            same = next((place for place, (a, b) in pairs if a != b), min(len(self.slot), len(ids)))
            same = min(same, len(ids) - 1)
            self.computed += len(ids) - same
            usage["prompt_tokens_details"] = {"cached_tokens": same}
            self.slot = list(ids)
        return usage

    def chat(self, body):
        from qwen_bench.chat.messages import Message

        messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        ids = list(self.prompter.prompt(messages).ids)
        usage, tokens = self.read(ids), []
        while len(tokens) < body["max_tokens"]:
            token = int(self.logprobs(ids + tokens)[-1].argmax())
            tokens.append(token)
            if token == self.end_of_turn:
                break
        if self.slot is not None:
            self.slot += tokens[:-1]
        stopped = tokens[-1] == self.end_of_turn
        usage["completion_tokens"] = len(tokens)
        text = self.prompter.text(tokens[:-1] if stopped else tokens)
        reply = chat_answer(text, finish="stop" if stopped else "length")
        return Act(reply | {"usage": usage})

    def completion(self, body):
        prompt, count = body["prompt"], body["logprobs"]
        if count > self.most:
            return Act({"error": {"message": f"logprobs is at most {self.most}"}}, 400)
        if not isinstance(prompt, str) and not self.ids:
            return Act({"error": {"message": "prompt: expected text"}}, 400)
        ids = prompt
        if isinstance(prompt, str):
            ids = self.prompter.tokenizer.encode(prompt, add_special_tokens=False)
        usage = self.read(ids) | {"completion_tokens": 1}
        rows = self.logprobs(ids)
        values, best = rows[-1].topk(min(count, rows.shape[-1]))
        top = list(zip(best.tolist(), values.tolist(), strict=True))
        if body.get("echo") and self.echo:
            own = [float(rows[i - 1, ids[i]]) for i in range(1, len(ids))]
            logprobs = {"token_logprobs": [None, *own, top[0][1]]}
        elif self.content:
            tops = [{"id": t, "token": "", "bytes": [], "logprob": v} for t, v in top]
            logprobs = {"content": [{**tops[0], "top_logprobs": tops}]}
        else:
            tops = {self.prompter.whole_text((t,)): v for t, v in top}
            logprobs = {"tokens": [""], "token_logprobs": [top[0][1]], "top_logprobs": [tops]}
        choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}
        return Act({"choices": [choice], "usage": usage})


@pytest.fixture
def tiny(server, open_tiny, checkpoints):
    """(model behind the fake server, hf engine on the same weights, folder of its tokenizer)."""
    engine, base = open_tiny()
    model = TinyModel(server, engine._prompter, base.model, engine._stops.end_of_turn)
    return model, engine, str(checkpoints["qwen2"])
