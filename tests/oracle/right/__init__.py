"""Right implementations in many styles: each entry is (suite, name, function, settings, may_round)."""

from tests.oracle.right import batches, buffers, complex_step, dense, differences, early, ends, episodes, expected, formulas, forward, iterative  # isort: skip
from tests.oracle.right import jets, products, returned, sampled, second_order, single, soft, taped, taped_maml  # isort: skip

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
    soft,
    episodes,
    ends,
    differences,
    batches,
    buffers,
    second_order,
    early,
    jets,
    products,
)
RIGHT = [entry for module in MODULES for entry in module.RIGHT]
