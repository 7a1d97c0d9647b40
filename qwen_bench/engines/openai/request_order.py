"""One request of a unit, ready to be sent, and the order in which a unit's requests go out.

Servers keep what they computed for the prompt before. In the order of the tree (sorted tokens are
a depth-first walk) every prompt shares with the one before all that it shares with any earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwen_bench.chat.messages import Conversation, Message, as_dicts
from qwen_bench.chat.policy import Policy, keep
from qwen_bench.chat.rendering import with_system
from qwen_bench.engines.openai.local_tokenizer import Local
from qwen_bench.engines.prefix_tree import PrefixTree
from qwen_bench.engines.prompter import Prompt
from qwen_bench.protocol import Reply, Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is sent.

    Attributes:
        messages: after policy and system option.
        dropped: turns that the policy left out.
        prompt: rendered on this side; None without a tokenizer here.
        candidates: token ids of each, for ranking.
    """

    request: Request
    messages: Conversation
    dropped: int
    prompt: Prompt | None
    candidates: tuple[tuple[int, ...], ...] = ()

    @property
    def reply(self) -> Reply:
        """What is known of the reply before there is an answer."""
        return Reply(
            self.request.id,
            self.request.mode,
            "ok",
            prompt_tokens=len(self.prompt.ids) if self.prompt is not None else None,
            dropped_turns=self.dropped,
        )

    @property
    def size(self) -> int:
        """Tokens of the prompt, or characters where no tokenizer is here."""
        if self.prompt is not None:
            return len(self.prompt.ids)
        return sum(len(message.content) for message in self.messages)

    @property
    def sent(self) -> list[dict[str, str]]:
        """The messages as JSON."""
        return as_dicts(self.messages)


def prepare(request: Request, policy: Policy, system: str, local: Local | None) -> Asked:
    """Apply policy and system option; render and encode where a tokenizer is here.

    Args:
        request: what to ask.
        policy: which turns are sent.
        system: ``default``, ``none`` or the text itself.
        local: tokenizer on this side.

    Raises:
        TemplateError: the template loses part of the conversation.
    """
    if local is None:
        messages, dropped = keep(policy, request.messages)
        if system not in {"default", "none"} and messages[0].role != "system":
            messages = (Message("system", system), *messages)
        return Asked(request, messages, dropped, None)
    prompter = local.prompter
    messages, dropped = keep(policy, request.messages, prompter)
    prompt = prompter.prompt(messages)
    full = with_system(messages, prompter.settings, prompter.tokenizer)
    candidates = tuple(prompter.candidate(text) for text in request.candidates)
    return Asked(request, full, dropped, prompt, candidates if request.mode == "rank" else ())


def in_tree_order(asked: Sequence[Asked]) -> list[Asked]:
    """Depth first: by token ids, without a tokenizer by messages; equal prompts side by side."""
    if all(item.prompt is not None for item in asked):
        return sorted(asked, key=lambda item: item.prompt.ids if item.prompt else ())
    return sorted(asked, key=lambda item: [(m.role, m.content) for m in item.messages])


def tree_tokens(asked: Sequence[Asked]) -> int:
    """Distinct nodes of the prefix tree, candidates included; 0 without a tokenizer here."""
    tree = PrefixTree()
    for item in asked:
        if item.prompt is not None:
            end = tree.insert(item.prompt.ids)
            for ids in item.candidates:
                tree.insert(ids, end)
    return len(tree)


def refused_locally(asked: Asked, limit: int | None) -> Reply | None:
    """The reply to a request that cannot be sent; None for one that can."""
    reply = asked.reply
    if asked.prompt is None:
        return None
    longest = max(map(len, asked.candidates), default=asked.request.max_new_tokens)
    size = len(asked.prompt.ids)
    if limit is not None and size + longest > limit:
        message = f"{size} + {longest} tokens, the context window has {limit}"
        return replace(reply, status="too_long", reason="local", error_message=message)
    if not all(asked.candidates):
        return replace(
            reply,
            status="error",
            reason="empty",
            error_type="ValueError",
            error_message="a candidate encodes to no token",
        )
    return None
