"""Known-wrong formulas: each is what a real implementation has computed by mistake, or a mutant that checks miss.

`WRONG[chapter]` is a tuple of rows; `row.function(case)` evaluates the row on a case.
"""

from refmeta.oracle.wrong import maml, policy, reptile
from refmeta.oracle.wrong.row import Wrong

WRONG: dict[str, tuple[Wrong, ...]] = {"maml": maml.ROWS, "reptile": reptile.ROWS, "policy": policy.ROWS}
