"""The prefix tree holds every prompt, and its layout computes each node once."""

from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.engines.tree import ROOT, PrefixTree, lay_out

PROMPTS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple), min_size=1, max_size=8
)


def grown(prompts):
    tree = PrefixTree()
    return tree, [tree.insert(prompt) for prompt in prompts]


@given(PROMPTS)
def test_paths_rebuild_every_input(prompts):
    tree, ends = grown(prompts)

    rebuilt = [tuple(tree.token(node) for node in tree.path(end)) for end in ends]

    assert rebuilt == prompts


@given(PROMPTS)
def test_nodes_are_the_distinct_prefixes(prompts):
    tree, _ = grown(prompts)

    prefixes = {prompt[: size + 1] for prompt in prompts for size in range(len(prompt))}

    assert len(tree) == len(prefixes)


@given(PROMPTS)
def test_the_layout_covers_every_node_once(prompts):
    tree, ends = grown(prompts)

    layout = lay_out(tree, ends, ends)

    covered = [*layout.trunk, *(node for limb in layout.limbs for node in limb.nodes)]
    assert sorted(covered) == list(range(1, len(tree) + 1))


@given(PROMPTS)
def test_ends_enclose_exactly_the_descendants(prompts):
    tree, ends = grown(prompts)

    for limb in lay_out(tree, ends, ends).limbs:
        for place, node in enumerate(limb.nodes):
            below = {other for other in limb.nodes if node in tree.path(other)}
            assert set(limb.nodes[place : limb.ends[place]]) == below


@given(PROMPTS)
def test_a_limb_hangs_on_the_trunk_at_its_fork_depth(prompts):
    tree, ends = grown(prompts)

    layout = lay_out(tree, ends, ends)

    for limb in layout.limbs:
        parent = tree.parent(limb.nodes[0])
        assert parent == (layout.trunk[limb.fork - 1] if limb.fork else ROOT)


@given(PROMPTS)
def test_limbs_come_in_the_order_of_their_forks(prompts):
    tree, ends = grown(prompts)

    forks = [limb.fork for limb in lay_out(tree, ends, ends).limbs]

    assert forks == sorted(forks)


def test_the_trunk_leads_to_the_deepest_prompt():
    tree, ends = grown([(1, 2), (1, 2, 3, 4), (1, 5, 6)])

    assert lay_out(tree, ends, ends).trunk == tree.path(ends[1])


def test_only_what_is_asked_for_is_laid_out():
    tree, ends = grown([(1, 2), (1, 3), (1, 4)])

    layout = lay_out(tree, ends[:1], ends[:2])

    assert layout.trunk == tree.path(ends[0])
    assert [limb.nodes for limb in layout.limbs] == [(ends[1],)]
