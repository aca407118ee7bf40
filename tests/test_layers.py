"""The house: an import goes down the floors only, and within a floor to rooms named before."""

import ast
import functools
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "refmeta"
FLOORS = [
    "tables _start arrays conjugate_gradients softmax judges",
    "policies gaussian",
    "tasks.quadratic tasks.regression tasks.classification tasks.mdp tasks.finite_horizon tasks.exact_return tasks.planning tasks.fisher tasks.lq tasks.policy_cost tasks.distributions",
    "sampling.trajectories sampling.likelihood sampling.rollout sampling.returns sampling.values sampling.estimators sampling.surrogates sampling.enumeration sampling.trust_region sampling.transitions",
    "meta.inner meta.optimisers meta.loop meta.maml meta.reptile meta.implicit meta.zeroth_order meta.sampled meta.lstm meta.meta_lstm meta.encoder meta.soft_actor_critic meta.posterior_sampling meta.task_posterior meta.agent meta.pearl meta.learned_model meta.model_based meta.train",
    "oracle.tolerance oracle.problems oracle.batches oracle.learner oracle.agents oracle.models oracle.wrong.row oracle.wrong.maml oracle.wrong.policy oracle.wrong.reptile oracle.wrong.implicit oracle.wrong.lq oracle.wrong.surrogates oracle.wrong.estimators oracle.wrong.meta_lstm oracle.wrong.pearl oracle.wrong.model oracle.wrong oracle.case oracle.documents oracle.cases oracle.decimals oracle.sampled_decimals oracle.lstm_decimals oracle.pearl_decimals oracle.model_decimals oracle.certify oracle.answers oracle.calls oracle.judge oracle.check oracle.match oracle.rows oracle.moved oracle.named oracle.shifted oracle.sampled_epsilons oracle.learned_epsilons oracle.epsilons oracle.traces oracle.expand oracle.diagnose oracle.verdict oracle.process oracle.protocol oracle.serve oracle.facts oracle.report oracle.machine oracle.renew oracle.inputs oracle.browse oracle.commands oracle",
    "evidence.judged evidence.shared evidence.returns evidence.geometry evidence.control evidence.maml evidence.reptile evidence.gradients evidence.sampling evidence.sampled evidence.lstm evidence.pearl evidence.model_based evidence verify episodes demo bias __main__",
]
APART = {
    "meta.maml",
    "meta.reptile",
    "meta.implicit",
    "meta.zeroth_order",
    "meta.sampled",
    "meta.meta_lstm",
    "meta.pearl",
    "meta.model_based",
    "meta.train",
}
PLACE = {room: (floor, i) for floor, rooms in enumerate(FLOORS) for i, room in enumerate(rooms.split())}


def room_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def import_nodes(path):
    """Every import statement of a file, at whatever depth of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def imports_of(path):
    """The rooms that a file imports."""
    for node in import_nodes(path):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import hides its floor"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        rooms = [name.removeprefix("refmeta.") for name in names if name and name.startswith("refmeta.")]
        found = [room for room in rooms if room in PLACE]
        yield from found[1:] if len(found) > 1 else found  # `from package import room` is about the room


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=room_of)
def test_imports_go_down(path):
    room = room_of(path)
    if room in ("__init__", "tasks", "sampling", "meta"):
        return
    assert room in PLACE, f"{room} is on no floor"
    for other in imports_of(path):
        assert PLACE[other] < PLACE[room], f"{room} imports {other}, which is not below it"
        assert not {room, other} <= APART, f"{room} and {other} do not know each other"


def test_the_table_names_no_room_that_does_not_exist():
    assert set(PLACE) <= {room_of(path) for path in PACKAGE.rglob("*.py")}


def test_only_numpy_and_scipy_are_imported_from_outside():
    for path in PACKAGE.rglob("*.py"):
        for node in import_nodes(path):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {n.split(".")[0] for n in names} <= {"refmeta", "numpy", "scipy"} | sys.stdlib_module_names, path
