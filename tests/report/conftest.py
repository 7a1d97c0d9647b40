"""Sample runs and pages for the tests of the report."""

import importlib.util
import sys
from pathlib import Path

import pytest

_FILE = Path(__file__).with_name("sample_runs.py")


@pytest.fixture(scope="session")
def sample():
    """The module of sample runs; the tests' folders are not packages, so it is loaded by path."""
    spec = importlib.util.spec_from_file_location("report_sample_runs", _FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def comparison_page(sample):
    """A page of two runs, the candidate forgets."""
    return sample.comparison_page()


@pytest.fixture(scope="session")
def profile_page(sample):
    """A page of one run."""
    suite = sample.SampleSuite()
    return sample.page([sample.run("base-model", suite, wrong=sample.forgets_long)], suite)


@pytest.fixture(scope="session")
def five_page(sample):
    """A page of five runs."""
    suite = sample.SampleSuite()
    runs = [sample.run(f"model-{n}", suite, wrong=sample.forgets_long if n % 2 else lambda _: False)
            for n in range(5)]  # fmt: skip
    return sample.page(runs, suite)
