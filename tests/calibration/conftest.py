"""One small calibration, shared: every simulation once, 22 seconds on one core."""

import pytest

from tools.calibration.results import calibrate
from tools.calibration.sizes import SEED, SMALL


@pytest.fixture(scope="session")
def said():
    """What the calibration told while it ran."""
    return []


@pytest.fixture(scope="session")
def results(said):
    return calibrate(SMALL, SEED, said.append)
