"""Chances declared by the families of `tasks/`."""

from qwen_bench.probes.definitions import declared_chances, load_families
from qwen_bench.resources import data_folder


def test_chances_are_those_of_the_full_definitions():
    families = load_families(data_folder("tasks"))

    assert declared_chances() == {name: family.task.chance for name, family in families.items()}
