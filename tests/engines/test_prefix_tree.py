"""The prefix tree holds every prompt, and its layout computes each node once."""

from hypothesis import given
from hypothesis import strategies as st

from qwen_bench.engines.prefix_tree import ROOT, PrefixTree, lay_out, part_of

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


def read(stems):
    """Every node as often as it is computed."""
    return [
        node
        for stem in stems
        for node in (*stem.nodes, *(node for limb in stem.limbs for node in limb.nodes))
    ]


@given(PROMPTS, st.integers(1, 8))
def test_stems_and_limbs_cover_every_node_once(prompts, longest):
    tree, ends = grown(prompts)

    stems = lay_out(tree, ends, ends, longest=longest)

    assert sorted(read(stems)) == list(range(1, len(tree) + 1))
    assert all(len(limb.nodes) <= longest for stem in stems for limb in stem.limbs)


@given(PROMPTS, st.integers(1, 3))
def test_a_stem_goes_on_from_what_was_read_before_it(prompts, longest):
    tree, ends = grown(prompts)
    held = []

    for stem in lay_out(tree, ends, ends, longest=longest):
        assert stem.base <= len(held)
        held = [*held[: stem.base], *stem.nodes]

        assert tuple(held) == tree.path(stem.nodes[-1])
        for limb in stem.limbs:
            assert tree.parent(limb.nodes[0]) == (held[limb.fork - 1] if limb.fork else ROOT)


@given(PROMPTS)
def test_ends_enclose_exactly_the_descendants(prompts):
    tree, ends = grown(prompts)

    for limb in lay_out(tree, ends, ends)[0].limbs:
        for place, node in enumerate(limb.nodes):
            below = {other for other in limb.nodes if node in tree.path(other)}
            assert set(limb.nodes[place : limb.ends[place]]) == below


@given(PROMPTS)
def test_limbs_come_in_the_order_of_their_forks(prompts):
    tree, ends = grown(prompts)

    forks = [limb.fork for limb in lay_out(tree, ends, ends)[0].limbs]

    assert forks == sorted(forks)


@given(PROMPTS, st.data())
def test_part_of_a_limb_is_what_leads_to_the_nodes_asked_for(prompts, data):
    tree, ends = grown(prompts)
    limbs = lay_out(tree, ends, ends)[0].limbs
    if not limbs:
        return
    limb = data.draw(st.sampled_from(limbs))
    chosen = data.draw(st.lists(st.sampled_from(limb.nodes), min_size=1))

    part = part_of(tree, limb, chosen)

    assert set(part.nodes) == {n for end in chosen for n in tree.path(end)[limb.fork :]}
    assert part.fork == limb.fork


def test_the_first_stem_leads_to_the_deepest_prompt():
    tree, ends = grown([(1, 2), (1, 2, 3, 4), (1, 5, 6)])

    (stem,) = lay_out(tree, ends, ends)

    assert (stem.base, stem.nodes) == (0, tree.path(ends[1]))


def test_long_limbs_become_stems_deepest_fork_first():
    line = tuple(range(10, 20))
    early, late = (*line[:2], 7, 7, 7), (*line[:6], 8, 8, 8)
    tree, ends = grown([line, early, late, (*late, 9)])

    stems = lay_out(tree, ends, ends, longest=2)

    assert [(stem.base, len(stem.nodes)) for stem in stems] == [(0, 10), (6, 4), (2, 3)]


def test_only_what_is_asked_for_is_laid_out():
    tree, ends = grown([(1, 2), (1, 3), (1, 4)])

    (stem,) = lay_out(tree, ends[:1], ends[:2])

    assert stem.nodes == tree.path(ends[0])
    assert [limb.nodes for limb in stem.limbs] == [(ends[1],)]
