"""A prefix tree over token ids: every distinct prefix of a set of prompts is one node.

Built from tokens, never from assumptions about chat templates: what prompts really share is shared,
nothing else. Pure Python; knows no model and no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

ROOT = 0


class PrefixTree:
    """Append-only tree. Node 0 is the root and holds no token; a node's depth counts its tokens."""

    def __init__(self) -> None:
        self._token = [-1]
        self._parent = [-1]
        self._depth = [0]
        self._children: list[dict[int, int]] = [{}]

    def __len__(self) -> int:
        """Number of nodes without the root: the distinct non-empty prefixes."""
        return len(self._token) - 1

    def insert(self, tokens: Iterable[int], parent: int = ROOT) -> int:
        """Add the tokens below `parent`; returns the node of the last one."""
        node = parent
        for token in tokens:
            below = self._children[node].get(token)
            if below is None:
                below = len(self._token)
                self._children[node][token] = below
                self._token.append(token)
                self._parent.append(node)
                self._depth.append(self._depth[node] + 1)
                self._children.append({})
            node = below
        return node

    def token(self, node: int) -> int:
        """Token id of a node."""
        return self._token[node]

    def parent(self, node: int) -> int:
        """Node above."""
        return self._parent[node]

    def depth(self, node: int) -> int:
        """Number of tokens from the root to the node; its position id is one less."""
        return self._depth[node]

    def children(self, node: int) -> tuple[int, ...]:
        """Nodes below, in order of insertion."""
        return tuple(self._children[node].values())

    def path(self, node: int) -> tuple[int, ...]:
        """Nodes from below the root to `node`."""
        nodes = []
        while node != ROOT:
            nodes.append(node)
            node = self._parent[node]
        return tuple(reversed(nodes))


class Limb(NamedTuple):
    """A maximal subtree that hangs off the trunk.

    Attributes:
        fork: depth of the trunk node it hangs on; its tokens see that many trunk tokens.
        nodes: in depth-first order.
        ends: for each node the index in `nodes` one past its last descendant.
    """

    fork: int
    nodes: tuple[int, ...]
    ends: tuple[int, ...]


class Layout(NamedTuple):
    """The part of a tree above given nodes, cut into one trunk and its limbs.

    Attributes:
        trunk: nodes from the root to the deepest prompt end; shared by most prompts.
        limbs: by (fork depth, order of insertion).
    """

    trunk: tuple[int, ...]
    limbs: tuple[Limb, ...]


def lay_out(tree: PrefixTree, prompt_ends: Sequence[int], ends: Sequence[int]) -> Layout:
    """Cut the tree above `ends` into trunk and limbs; every node above them occurs exactly once.

    Args:
        tree: the tree.
        prompt_ends: last nodes of the prompts, at least one; the trunk leads to the deepest.
        ends: all nodes that must be computed with everything above them.
    """
    needed: set[int] = {ROOT}
    for end in (*prompt_ends, *ends):
        node = end
        while node not in needed:
            needed.add(node)
            node = tree.parent(node)
    trunk = tree.path(max(prompt_ends, key=tree.depth))
    on_trunk = {ROOT, *trunk}
    limbs = [
        _limb(tree, child, needed)
        for node in (ROOT, *trunk)
        for child in tree.children(node)
        if child in needed and child not in on_trunk
    ]
    return Layout(trunk, tuple(limbs))


def _limb(tree: PrefixTree, top: int, needed: set[int]) -> Limb:
    nodes: list[int] = []
    ends: list[int] = []
    index: dict[int, int] = {}
    stack = [top]
    while stack:
        node = stack.pop()
        if node < 0:
            ends[index[-node]] = len(nodes)
            continue
        index[node] = len(nodes)
        nodes.append(node)
        ends.append(0)
        stack.append(-node)
        stack.extend(child for child in reversed(tree.children(node)) if child in needed)
    return Limb(tree.depth(top) - 1, tuple(nodes), tuple(ends))
