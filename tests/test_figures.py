"""The figures of the chapters: each has a script and a chapter, and shows what it says.  Nothing here needs matplotlib.

That two drawings have the same bytes is a test of tests/peers, where matplotlib is installed.
"""

import ast
import importlib
import re
import xml.etree.ElementTree as ET
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

import refmeta as rm
from refmeta.oracle.vectors import cases

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "derivations" / "figures"
PAGES = [ROOT / "README.md", *sorted((ROOT / "derivations").glob("*.md"))]
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "style")
FIGURES = sorted(FOLDER.glob("*.svg"))
IMAGE = re.compile(r"!\[([^\]]*)\]\((?:derivations/)?figures/([\w-]+)\.svg\)")
LARGEST = 256 * 1024  # bytes
SVG = "{http://www.w3.org/2000/svg}"


def slope(x, y):
    """The slope of log y against log x, by least squares."""
    return np.polyfit(np.log(x), np.log(y), 1)[0]


@pytest.fixture
def script(monkeypatch):
    """A script of the folder as a module, by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_every_figure_has_its_script_and_every_script_its_figure():
    assert SCRIPTS and [path.stem.replace("-", "_") for path in FIGURES] == SCRIPTS


def test_an_installed_copy_has_the_figures_beside_the_chapters():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    files = config["options.data_files"]["share/refmeta/derivations/figures"].replace(" ", "").split(",")
    assert files == ["derivations/figures/*.py", "derivations/figures/*.svg"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_separates_its_numbers_from_its_drawing_and_needs_matplotlib_only_to_draw(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    assert re.search(r"Derivation: derivations/[\w-]+\.md$", ast.get_docstring(tree).splitlines()[0])
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"data", "draw"} <= set(functions) and all(ast.get_docstring(node) for node in functions.values())
    assert "matplotlib" not in ast.unparse(
        [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    )


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_figure_is_small_stands_on_its_own_panel_and_loads_nothing(path, script):
    text, style = path.read_text(encoding="utf-8"), script("style")
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg" and len(text.encode()) < LARGEST
    width, height = (float(size) for size in root.get("viewBox").split()[2:])
    assert abs(width - 72 * style.WIDTH) < 0.1 and 0 < height < width
    first = root.find(f".//{SVG}g[@id='patch_1']/{SVG}path")
    assert f"fill: {style.PANEL}" in first.get("style") and f"L {width:g} {height:g}" in first.get("d")
    assert not root.findall(f".//{SVG}script") and "<text" not in text and "<dc:date>" not in text
    links = [value for node in root.iter() for name, value in node.items() if name.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_every_figure_is_shown_and_every_figure_shown_is_there_with_its_words_and_its_command():
    shown = set()
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if not line.startswith("!["):
                continue
            match = IMAGE.fullmatch(line.strip())
            assert match and match[1], (
                f"{page.name}:{number + 1}: an image without words, or not of derivations/figures"
            )
            command = f"`python derivations/figures/{match[2].replace('-', '_')}.py`"
            assert command in " ".join(lines[number + 1 : number + 4]), f"{page.name}:{number + 1}: no {command} below"
            shown.add(match[2])
    assert shown == {path.stem for path in FIGURES}


def test_words_are_dark_enough_and_the_panel_is_light(script):
    style = script("style")
    assert abs(style.contrast("#ffffff", "#000000") - 21) < 1e-12 and style.contrast(style.PANEL, "#0d1117") > 15
    assert style.legible(style.INK) == style.INK and style.contrast(style.GREY, style.PANEL) > 4.5
    for colour in (style.BLUE, style.RED, style.GREEN, style.PURPLE, style.ORANGE, style.SKY):
        assert style.contrast(style.legible(colour), style.PANEL) >= 5.5


@pytest.mark.parametrize("heights", [[], [5.0], [0.0, 0.0, 0.0], [90.0, 91.0, 99.0], [10.0, 12.0, 50.0, 52.0, 54.0]])
def test_names_beside_the_axes_keep_their_order_their_distance_and_the_bounds(heights, script):
    moved = np.array(script("style")._apart(heights, 10.0, 0.0, 100.0))
    assert len(moved) == len(heights) and np.all(np.diff(moved) >= 10 - 1e-9)
    assert np.all((moved >= 0) & (moved <= 100))
    lone = [i for i, h in enumerate(heights) if all(abs(h - other) >= 30 for j, other in enumerate(heights) if j != i)]
    assert all(moved[i] == heights[i] for i in lone)


def test_landscape_training_ends_where_the_formulas_say_and_maml_leaves_least(script):
    landscape = script("landscape")
    found, inner = landscape.data(), landscape.INNER
    A, c = found.tasks.A, found.tasks.c
    M = np.linalg.matrix_power(np.eye(2) - inner["alpha"] * A, inner["steps"])
    weights = {"joint training": A, "Reptile": np.eye(2) - M, "first-order MAML": M @ A, "MAML": M @ A @ M}
    for name, W in weights.items():
        rest = np.linalg.solve(W.sum(0), np.einsum("nij,nj->i", W, c))
        np.testing.assert_allclose(found.outer[name][-1], rest, rtol=0, atol=1e-6)
        adapted = c + np.einsum("nij,nj->ni", M, rest - c)
        np.testing.assert_allclose(found.inner[name][:, -1], adapted, rtol=0, atol=1e-6)
        left = np.einsum("ni,nij,nj", adapted - c, A, adapted - c) / 2
        assert abs(found.objective[name] - left) < 1e-5
    assert [round(found.objective[name], 2) for name in weights] == [1.07, 0.89, 0.17, 0.07]


def test_after_adaptation_no_start_passes_the_optimum_and_the_gain_depends_on_the_step_size(script):
    grids, plane = script("after_adaptation").data(iterations=40).values()
    reached, at = (
        grids.by_alpha.reached,
        lambda name, alpha: np.interp(alpha, grids.by_alpha.x, grids.by_alpha.reached[name]),
    )
    assert all(np.all(curve < grids.optimum + 1e-12) for curve in reached.values())
    trained = [at(name, 20) for name in ("joint training", "Reptile", "MAML")]
    assert min(trained) > at("zeros", 20) + 0.03, "a training of 40 iterations helps for goals that are held out, too"
    assert grids.optimum - reached["zeros"][-1] < 1e-3 and set(grids.own.values()) == {grids.by_alpha.x[-1]}
    assert all(np.all(left > -1e-12) for left in grids.shifted.reached.values())
    for name, value in grids.shifted.reached.items():
        assert abs(value[1] - (grids.optimum - reached[name][-1])) < 1e-12, "a slip of 0.1 is no shift"
    costs = plane.by_alpha.reached
    assert all(np.all(curve > plane.optimum) for curve in (*costs.values(), *plane.shifted.reached.values()))
    assert plane.own["MAML"] == pytest.approx(1e-3) and plane.own["joint training"] > 2e-3
    assert costs["MAML"].min() < costs["random"].min() / 2
    for name, value in plane.shifted.reached.items():
        here = costs[name][list(plane.by_alpha.x).index(plane.own[name])]
        assert value[2] == pytest.approx(here, rel=1e-12), "goals times 1 are no shift"


def test_experience_no_learner_earns_more_in_any_episode_than_its_bound(script):
    found = script("experience").data(repeats=10, iterations=30, updates=10)
    best = found.returns["Bayes-adaptive bound"]
    assert best[1] == pytest.approx(0.8556, abs=5e-5), "0.8536 is earned where all episodes count"
    assert np.all(np.diff(best) > -1e-12) and found.known - best[-1] < 1e-4 and best[0] < found.known / 1.9
    learners = {name: value for name, value in found.returns.items() if name != "Bayes-adaptive bound"}
    assert len(learners) == 5 and set(found.own) == {"zeros", "joint", "MAML"}
    for name, value in learners.items():
        assert len(value) == len(best) == 6 and np.all(value[:-1] < best[:-1]), name
        assert value[-1] < found.known * (1 + 1e-12), "80 samples may all know the goal by then, and the bound is a mean"
    assert learners["Thompson sampling"][-1] > 0.8 > learners["REINFORCE, MAML"][-1]
    assert learners["REINFORCE, zeros"][-1] > learners["REINFORCE, zeros"][0] + 0.1


def test_two_loops_every_inner_loop_leads_from_the_start_to_adapted_parameters(script):
    rows = script("two_loops").data(steps=3)
    assert [row.task for row in rows] == ["task 1", "task 2", "task N"]
    for row in rows:
        assert len(row.points) == len(row.names) == 4 and row.names[0] == r"$\theta$" and "varphi" in row.names[-1]


def test_belief_the_product_is_bayes_rule_and_the_average_does_not_narrow(script):
    belief = script("belief")
    found = belief.data()
    mean, deviation = found.product
    rng = np.random.default_rng(3)
    w = belief.PAYS[rng.integers(2, size=20)]
    rewards = w * found.true + rng.normal(size=20)
    precision = 1 + np.cumsum(w**2)
    np.testing.assert_allclose(deviation, np.concatenate([[1], precision**-0.5]), rtol=1e-12)
    np.testing.assert_allclose(mean[1:], np.cumsum(w * rewards) / precision, rtol=1e-12, atol=1e-12)
    assert np.all(np.diff(deviation) < 0) and [round(x[1][-1], 2) for x in (found.product, found.averaged)] == [
        0.14,
        1.25,
    ]
    assert np.all(found.averaged[1] > found.product[1][1:])


def test_derivative_error_the_slopes_are_those_of_the_theory(script):
    found = script("derivative_error").data(10.0 ** np.arange(-14, 0))
    large, small = slice(10, 12), slice(0, 5)  # h = 1e-4, 1e-3 and h = 1e-14 … 1e-10
    for name, order in (("one-sided difference", 1), ("central difference", 2), ("complex step", 2)):
        assert abs(slope(found.steps[large], found.errors[name][large]) - order) < 0.1, name
    for name in ("one-sided difference", "central difference"):
        assert abs(slope(found.steps[small], found.errors[name][small]) + 1) < 0.3, name
    assert np.all(found.errors["complex step"][small] < 1e-13)
    for (name, left), order in zip(found.remainders.items(), (1, 2, 3), strict=True):
        assert abs(slope(found.steps[large], left[large]) - order) < 0.15, name


def test_digits_lost_a_digit_for_each_2_3_of_the_gap_but_none_with_differences(script):
    found = script("digits_lost").data([10.0, 20.0, 30.0, 42.0])
    direct, naive, kept = (found.lost[name] for name in list(found.lost)[1:])
    np.testing.assert_allclose(direct[:3], found.gaps[:3] / np.log(10), rtol=0, atol=1)
    assert np.all(naive[2:] > 10) and direct[-1] > 15 and naive[-1] > 15
    assert np.all(kept < 1.5)
    single = found.lost["π (u − ⟨π, u⟩) in single precision"]
    np.testing.assert_allclose(single[0], direct[0] + 8.7, rtol=0, atol=1)


def test_bias_and_deviation_have_the_orders_of_the_chapter(script):
    found = script("bias_and_deviation").data(alphas=2.0 ** np.array([-8, -7, -6]), episodes=(1, 2))
    bias = {name: pair[0] for name, pair in found.by_alpha.items()}
    assert np.all(bias["e-maml"] < 1e-12)
    orders = {
        "first-order": 1,
        "score-term-dropped": 1,
        "lvc": 1,
        "dice": 2,
        "loaded-dice, exact V": 2,
        "tmaml, exact V": 2,
    }
    for name, order in orders.items():
        assert abs(slope(found.alphas, bias[name]) - order) < 0.1, name
    growth = {name: pair[1][1] / pair[1][0] for name, pair in found.by_episodes.items()}
    assert growth["e-maml"] > 1.3 and growth["score-term-mean"] < 0.75
    for name in ("first-order", "lvc", "dice"):
        assert abs(growth[name] - 0.5**0.5) < 0.03, name


def test_training_on_episodes_rises_unless_the_score_term_is_dropped(script):
    figure = script("training_on_episodes")
    found = figure.data(seeds=range(2), iterations=20)
    assert set(found) == set(figure.COLOURS)
    assert all(curves.shape == (2, 5) and np.all(curves[:, 0] == found["DiCE"][0, 0]) for curves in found.values())
    gain = {name: np.mean(curves[:, -1] - curves[:, 0]) for name, curves in found.items()}
    assert gain["score term dropped"] < 0.02 < 0.05 < min(gain["E-MAML"], gain["DiCE"], gain["ProMP"])
    assert gain["exact MAML"] == max(gain.values())


def test_gates_the_trained_rule_opens_its_input_gates_and_beats_gradient_descent(script):
    found = script("gates").data()
    assert found.input_before.max() < 0.02 and found.input_after.mean((1, 2))[-1] > 0.9
    assert found.forget_after.min() > 0.99 and found.alpha == 0.75
    rounded = {name: np.round(loss[-1], 4) for name, loss in found.losses.items()}
    assert rounded == {"Meta-LSTM": 0.0174, "gradient descent": 0.0184}
    family = rm.Sinusoids()
    start = np.mean(family.sample(1000, rng=99).query.at(family.mean_parameters).loss)
    assert abs(found.losses["gradient descent"][0] - start) < 1e-12


def test_what_the_oracle_sees_is_what_the_vectors_say_of_themselves(script):
    found = script("what_the_oracle_sees").data()
    said = {case.id.removeprefix("maml-tabular-"): case.discriminates for case in cases("maml-tabular")}
    for line, formula in zip(found.rejected, found.formulas, strict=True):
        assert list(line) == [formula in said[vector] for vector in found.vectors], formula
        assert line.any()
    assert "reversed-product" in found.formulas and list(found.rejected.sum(1)) == sorted(
        found.rejected.sum(1), reverse=True
    )
