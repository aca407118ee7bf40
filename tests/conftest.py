"""Hypothesis profiles, without a clock and with nothing left on disk: `random` draws anew each time, the others do not."""

import gc
import os
import sys
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

gc.set_threshold(50_000, 20, 50)  # the vectors are a million numbers, among which there is no garbage

COMMON = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("default", max_examples=15, **COMMON)
settings.register_profile("random", max_examples=20, **COMMON | {"derandomize": False})
settings.register_profile("deep", max_examples=5000, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def bytecode():
    """Where Python leaves no bytecode beside the modules, the processes that tests start share a folder of it: half of their time."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, pytest.MonkeyPatch.context() as patch:
        if sys.dont_write_bytecode:
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patch.setenv("PYTHONPYCACHEPREFIX", folder)
        yield
