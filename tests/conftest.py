"""Hypothesis profiles, without a clock and with nothing left on disk: `random` draws anew each time, the others do not."""

import gc
import os

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
