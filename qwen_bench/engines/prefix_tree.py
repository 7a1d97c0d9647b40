"""A prefix tree over token ids: every distinct prefix of a set of prompts is one node.

Built from tokens, never from assumptions about chat templates: what prompts really share is shared,
nothing else. Pure Python; knows no model and no text.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

ROOT = 0


class PrefixTree:
    """Append-only tree. Node 0 is the root and holds no token; a node's depth counts its tokens.

    Nodes are numbered as they come, so what one prompt adds is a run of neighbours: each node of a
    run but the first hangs on the number before it. Three arrays of 4 bytes a node hold the tree,
    and only where it forks is there anything more. A prompt is compared with whole runs.
    """

    def __init__(self) -> None:
        self._token = array("i", [-1])
        self._parent = array("i", [-1])
        self._depth = array("i", [0])
        self._runs = [ROOT]
        self._forks: dict[int, dict[int, int]] = {}

    def __len__(self) -> int:
        """Number of nodes without the root: the distinct non-empty prefixes."""
        return len(self._token) - 1

    def insert(self, tokens: Iterable[int], parent: int = ROOT) -> int:
        """Add the tokens below `parent`; returns the node of the last one."""
        ids = array("i", tokens)
        node, done = parent, 0
        while done < len(ids):
            most = min(len(ids) - done, self._end(node) - node - 1)
            same = _common(ids, done, self._token, node + 1, most)
            node, done = node + same, done + same
            if done == len(ids):
                break
            below = self._forks.get(node, {}).get(ids[done])
            if below is None:
                return self._append(ids[done:], node)
            node, done = below, done + 1
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
        others = self._forks.get(node, {}).values()
        goes_on = node + 1 < len(self._parent) and self._parent[node + 1] == node
        return (node + 1, *others) if goes_on else tuple(others)

    def path(self, node: int, above: int = 0) -> tuple[int, ...]:
        """Nodes down to `node`, without the first `above` of them, the root apart."""
        nodes = []
        for _ in range(self._depth[node] - above):
            nodes.append(node)
            node = self._parent[node]
        nodes.reverse()
        return tuple(nodes)

    def shared(self, node: int, chain: Container[int]) -> int:
        """How many nodes of the path to `node` are on a chain that begins at the root."""
        while node != ROOT and node not in chain:
            node = self._parent[node]
        return self._depth[node]

    def _end(self, node: int) -> int:
        """One past the last node of a node's run."""
        place = bisect_right(self._runs, node)
        return self._runs[place] if place < len(self._runs) else len(self._token)

    def _append(self, ids: array[int], parent: int) -> int:
        """Add tokens that are not below `parent` yet; returns the node of the last one."""
        first, depth = len(self._token), self._depth[parent]
        if first != parent + 1:
            self._runs.append(first)
            self._forks.setdefault(parent, {})[ids[0]] = first
        self._token.extend(ids)
        self._parent.append(parent)
        self._parent.extend(range(first, first + len(ids) - 1))
        self._depth.extend(range(depth + 1, depth + 1 + len(ids)))
        return len(self._token) - 1


def _common(one: array[int], first: int, two: array[int], second: int, most: int) -> int:
    """How many tokens, `most` at most, are equal from two places on; whole parts are compared."""
    same = 0
    while same < most:
        middle = (same + most + 1) // 2
        if one[first + same : first + middle] == two[second + same : second + middle]:
            same = middle
        else:
            most = middle - 1
    return same


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


class Stem(NamedTuple):
    """A chain that is read once and shared by what hangs on it.

    Attributes:
        base: depth at which it goes on from what was read before; 0 at the root.
        nodes: of the chain, from depth `base` + 1.
        limbs: short subtrees that hang on it, by (fork depth, order of insertion).
    """

    base: int
    nodes: tuple[int, ...]
    limbs: tuple[Limb, ...]


def lay_out(
    tree: PrefixTree, prompt_ends: Sequence[int], ends: Sequence[int], *, longest: int = 512
) -> tuple[Stem, ...]:
    """Cut the tree above `ends` into stems and limbs; every node above them occurs exactly once.

    The first stem leads to the deepest prompt end. A subtree that hangs on it and is too long for a
    limb becomes a stem of its own, and so on. Stems come in depth-first order, deepest fork first:
    when each is reached, the `base` tokens before it are the first ones of the stems before it.

    Args:
        tree: the tree.
        prompt_ends: last nodes of the prompts, at least one.
        ends: all nodes that must be computed with everything above them.
        longest: most nodes of a limb.
    """
    needed: set[int] = {ROOT}
    for end in (*prompt_ends, *ends):
        node = end
        while node not in needed:
            needed.add(node)
            node = tree.parent(node)
    deepest = set(prompt_ends)
    chain = tree.path(max(prompt_ends, key=tree.depth))
    stems: list[Stem] = []
    waiting: list[tuple[int, tuple[int, ...]]] = [(0, chain)]
    while waiting:
        base, chain = waiting.pop()
        on_chain = set(chain)
        limbs: list[Limb] = []
        long: list[Limb] = []
        for node in chain if stems else (ROOT, *chain):
            for child in tree.children(node):
                if child in needed and child not in on_chain:
                    limb = _limb(tree, child, needed)
                    (limbs if len(limb.nodes) <= longest else long).append(limb)
        stems.append(Stem(base, chain, tuple(limbs)))
        waiting += [(limb.fork, _chain(tree, limb, deepest)) for limb in long]
    return tuple(stems)


def _chain(tree: PrefixTree, limb: Limb, prompt_ends: set[int]) -> tuple[int, ...]:
    """Nodes from the top of a subtree to its deepest prompt end, or to its deepest node."""
    ends = [node for node in limb.nodes if node in prompt_ends] or limb.nodes
    return tree.path(max(ends, key=tree.depth), limb.fork)


def part_of(tree: PrefixTree, limb: Limb, ends: Iterable[int]) -> Limb:
    """The part of a limb that leads to some of its nodes."""
    needed = {tree.parent(limb.nodes[0])}
    for end in ends:
        node = end
        while node not in needed:
            needed.add(node)
            node = tree.parent(node)
    return _limb(tree, limb.nodes[0], needed)


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
