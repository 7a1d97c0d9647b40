"""A chat server without a model: what it answers follows from the conversation alone.

`python fake_server.py` serves until it is ended; with `failing` behind it a part of the answers is
an error, too long, cut off or filtered.
"""

import hashlib
import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 28713
NAME = re.compile(r"(?<=\w )[A-Z][a-z]+")
FAILURES = {
    0: (500, {"error": {"message": "out of order"}}),
    1: (400, {"error": {"message": "this is more than the maximum context length of 99 tokens"}}),
}
ENDINGS = {2: "length", 3: "content_filter"}


def number(texts):
    """A number that stands for a conversation."""
    return hashlib.sha256("\n".join(texts).encode()).digest()[0]


def answer(texts):
    """A name out of the first message; which one is chance, but always the same."""
    names = NAME.findall(texts[0])
    return names[number(texts) % len(names)] if names else "I do not know."


class Server(ThreadingHTTPServer):
    """Answers on one port of this machine.

    Args:
        port: waits for it up to a minute, since fingerprints of runs hold it.
        failing: whether a part of the answers fails.
    """

    daemon_threads = True

    def __init__(self, port, *, failing=False):
        self.failing = failing
        for attempt in range(600):
            try:
                super().__init__(("127.0.0.1", port), Handler)
            except OSError:
                if attempt == 599:
                    raise
                time.sleep(0.1)
            else:
                return


class Handler(BaseHTTPRequestHandler):
    """A list of models, chat, and nothing else."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/v1/models":
            self.reply(200, {"object": "list", "data": [{"id": "fake", "owned_by": "fake"}]})
        else:
            self.reply(404, {"error": {"message": "no such page"}})

    def do_POST(self):
        size = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        if self.path != "/v1/chat/completions":
            self.reply(404, {"error": {"message": "no such page"}})
            return
        texts = [message["content"] for message in body["messages"]]
        kind = number(texts) % 8 if self.server.failing and len(texts) > 2 else None
        if kind in FAILURES:
            self.reply(*FAILURES[kind])
            return
        message = {"role": "assistant", "content": answer(texts)}
        finish = ENDINGS.get(kind, "stop")
        usage = {"prompt_tokens": sum(map(len, texts)) // 4, "completion_tokens": 2}
        choice = {"index": 0, "finish_reason": finish, "message": message}
        self.reply(200, {"object": "chat.completion", "choices": [choice], "usage": usage})

    def reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    Server(PORT, failing="failing" in sys.argv[1:]).serve_forever()
