"""Right implementations in many styles: each entry is (suite, name, function, settings, may_round)."""

from tests.oracle.right import batches, complex_step, dense, differences, early, expected, formulas, forward, iterative  # isort: skip
from tests.oracle.right import jets, products, returned, sampled, single, taped, taped_maml  # isort: skip

MODULES = (
    taped_maml,
    taped,
    forward,
    complex_step,
    dense,
    iterative,
    expected,
    formulas,
    returned,
    sampled,
    single,
    differences,
    batches,
    early,
    jets,
    products,
)
RIGHT = [entry for module in MODULES for entry in module.RIGHT]
