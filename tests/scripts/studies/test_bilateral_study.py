"""Pieces of the bilateral study, small: cells, statistics, measures; its plant gates are in tests/envs."""

import numpy as np
import pytest
import torch

from lancelet.scripts.studies.bilateral import (
    anatomy,
    claims,
    contrasts,
    measures,
    models,
    probes,
)
from lancelet.scripts.studies.bilateral import study as bilateral
from lancelet.scripts.studies.bilateral.models import Cell
from lancelet.scripts.study import Study


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """All cells of a tiny study, trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(models.UPDATES, "quick", 2)
    for name, value in (("VALIDATE", 1), ("HELD", 4), ("BATCH", 3), ("STEPS", 5)):
        monkeypatch.setattr(models, name, value)
    return models.cells("quick")


def test_a_cell_holds_every_model_once_a_seed_with_the_first_weights_of_its_seed():
    names = [name for name, _ in models.pupils(Cell("reach", "intended", "quick"))]
    assert names.count("CC-S") == names.count("left half") == 2 and len(names) == 2 * (7 + 3)
    assert "U-ND" not in [name for name, _ in models.pupils(Cell("hold", "as_released", "quick"))]
    first = {
        name: pupil for name, pupil in reversed(models.pupils(Cell("reach", "intended", "quick")))
    }
    weights = {name: first[name].controller.state_dict() for name in ("B-N", "B-S", "CC-N", "CC-S")}
    for name in ("B-S", "CC-N", "CC-S"):
        assert all(torch.equal(weights[name][key], value) for key, value in weights["B-N"].items())
    assert first["B-S"].losses == ("loss1", "loss2") and first["CC-N"].losses == ("mixed", "mixed")


def test_a_cell_is_trained_once_goes_on_where_it_was_and_comes_back_from_its_file(
    cells, monkeypatch, tmp_path
):
    cell = cells[1]
    models.train(cell)
    group = models.cohort(cell)
    group.validate()
    for _ in range(2):
        group.update()
        group.validate()
    found = models.trained(cell)
    for name, (_, weights) in found.items():
        if name != "E-N":
            k = [each for each, _ in models.pupils(cell)].index(name)
            want = torch.nn.utils.parameters_to_vector(group.controller(k).parameters())
            torch.testing.assert_close(weights[0], want, rtol=1e-5, atol=1e-6)
    assert {name: len(rows) for name, (_, rows) in found.items()} == dict.fromkeys(
        (*models.MODELS, "U8-N", "E-N"), 2
    )
    written = cell.path.stat().st_mtime_ns
    models.train(cell)
    assert cell.path.stat().st_mtime_ns == written
    models.keep(tmp_path, cell, found)
    again = models.kept(cell, tmp_path)
    assert all(torch.equal(again[name][1], weights) for name, (_, weights) in found.items())
    one = models.controller(again, "CC-S", 1)
    assert one.options.callosum and one.parameter_count == 268
    assert models.kept(cell, tmp_path / "no") is None


def test_holm_corrects_in_order():
    found = [contrasts.Contrast(str(p), 1.0, (1.0, 1.0), p, 0.0) for p in (0.04, 0.01, 0.03)]
    assert contrasts.holm([each.p for each in found]) == pytest.approx([0.06, 0.03, 0.06])


def test_a_contrast_is_paired_by_seed():
    rng = np.random.default_rng(0)
    theirs = np.exp(rng.normal(0, 1.0, 10))
    found = contrasts.contrast("a", 0.9 * theirs * np.exp(rng.normal(0, 0.01, 10)), theirs)
    assert found.ratio == pytest.approx(0.9, abs=0.01) and found.interval[1] < 0.92
    assert found.p == pytest.approx(2 / 2**10) and found.effect < -5
    alike = contrasts.contrast("b", theirs, theirs[::-1])
    assert alike.interval[0] < 1 < alike.interval[1] and alike.p > 0.5


def test_a_contrast_of_no_family_tells_no_corrected_p_and_gives_no_verdict():
    each = contrasts.of_logs("a", np.log([0.5, 0.6, 0.4, 0.5, 0.5, 0.6]))
    assert "Holm" not in each.note
    with pytest.raises(ValueError, match="not corrected"):
        _ = each.differs
    (corrected,) = contrasts.as_family([each])
    assert "Holm 0.031" in corrected.note and corrected.differs


def lesioned(**balance):
    """Errors of ten seeds with each column silent, their log ratio spread around that of the model's name."""
    noise = np.random.default_rng(0).normal(0, 0.3, 10)
    found = {}
    for name, middle in balance.items():
        right = np.full(10, 0.2)
        found[name] = {
            "none": right / 4,
            "left silent": right * np.exp(middle + noise),
            "right silent": right,
        }
    return found


@pytest.mark.parametrize(
    ("special", "control", "holds"),
    [(0.5, 0.0, True), (0.5, 0.5, False), (0.0, 0.5, True)],
    ids=[
        "specialised alone is unequal",
        "the control is as unequal",
        "the control alone is unequal",
    ],
)
def test_a7_asks_whether_specialisation_does_it(tmp_path, monkeypatch, special, control, holds):
    found = lesioned(**{"B-S": special, "CC-S": special, "B-N": control, "CC-N": control})
    # With no difference at all the sign flips have nothing to flip: a little noise of the control's own.
    found["B-N"]["left silent"] *= np.exp(np.random.default_rng(1).normal(0, 0.05, 10))
    monkeypatch.setattr(measures, "lesioned", lambda *_: found)
    monkeypatch.setattr(measures, "likeness", lambda *_: (np.zeros(10), np.full(10, 0.5)))
    study = Study(
        "bilateral", "t", "shown", tmp_path, say=lambda _: None, seeds_of=bilateral.SEEDS_OF
    )
    nothing = dict.fromkeys(found)
    claims.lesions(study, {"reach": nothing}, "intended", 50)
    claim_rows = {row.name: row for row in study.rows if row.kind == "claim"}
    row = claim_rows["A7 (intended), reach, B-S against B-N: left over right column silent"]
    assert row.holds is holds and "Holm" in row.note and row.seeds_of == "trainings"
    assert all("Holm" not in row.note for row in study.rows if row.kind == "info")


def test_the_frontier_leaves_out_who_is_beaten_twice():
    errors, efforts = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 5.0, "b": 1.0, "c": 2.0}
    assert contrasts.frontier(errors, efforts) == ["a", "b"]


def rows(**errors):
    return {
        name: {"final_error": np.array(v), "mean_error": np.array(v), "E": np.ones(len(v))}
        for name, v in errors.items()
    }


def test_a_crossover_is_told_from_one_hand_that_is_always_better(tmp_path):
    noise = np.exp(np.random.default_rng(1).normal(0, 0.02, 10))
    names = ("U-N", "U-D", "U-ND", "B-N", "B-S", "CC-N", "CC-S")
    for hold, holds in ((1.3, True), (0.8, False)):
        figures = {task: rows(**{name: noise for name in names}) for task in ("reach", "hold")}
        for task, ratio in (("reach", 0.7), ("hold", hold)):
            figures[task]["U-D"] = rows(x=noise * ratio * noise[::-1])["x"]
            for name in figures[task]:
                figures[task][name] |= {"jerk": noise, "log_jerk": noise}
        study = Study(
            "bilateral", "t", "shown", tmp_path, say=lambda _: None, seeds_of=bilateral.SEEDS_OF
        )
        claims.comparisons(study, figures, "intended")
        judged = {row.name: row.holds for row in study.rows}
        assert judged["A5 (intended): error, dominant (loss 1) over non-dominant hand"] is holds
        assert judged["A5 (intended): error, dominant (loss 2) over non-dominant hand"] is False
        better = [row for row in study.rows if row.name.startswith("A6 (intended): error of B-S")]
        assert len(better) == 2 and not any(row.holds for row in better)


@pytest.mark.slow
def test_measures_pair_models_on_the_same_trials_and_the_twin_agrees(cells, tmp_path):
    cell = cells[1]
    models.train(cell)
    brains = {
        name: brain for name, brain in models.trained(cell).items() if name in ("U-N", "CC-S")
    }
    found = {
        name: measures.play("hold", brain, 6, max_episode_steps=10)
        for name, brain in brains.items()
    }
    for name in ("force_x", "near_limit"):
        assert np.array_equal(found["U-N"][name], found["CC-S"][name])
        assert np.array_equal(found["U-N"][name][0], found["U-N"][name][1])
    beside = measures.beside_the_twin(cell, models.controller(brains, "CC-S"), tmp_path, 20)
    assert max(abs(ours / theirs - 1) for ours, theirs in beside.values()) < 0.01
    cosine, share = measures.likeness(cell, brains, "CC-S", 4)
    assert (
        cosine.shape == share.shape == (2,)
        and (abs(cosine) <= 1).all()
        and share == pytest.approx(0.5, abs=0.05)
    )
    lesions = measures.lesioned("hold", {"CC-S": brains["CC-S"]}, 4)["CC-S"]
    assert (
        set(lesions) == {"none", *measures.LESIONS}
        and len({rows[0] for rows in lesions.values()}) > 5
    )


def test_a_spring_of_known_stiffness_would_be_found():
    """Stiffness is the inverse of the compliance: pushes that move the hand by C f."""
    compliance = np.array([[2e-3, 3e-4], [3e-4, 1e-3]])
    turns = 2 * np.pi * np.arange(measures.DIRECTIONS) / measures.DIRECTIONS
    push = measures.PUSH * np.stack([np.cos(turns), np.sin(turns)], 1)
    found = measures.fitted_compliance(push, push @ compliance.T)
    np.testing.assert_allclose(found, compliance, atol=1e-12)


def test_standard_reaches_begin_in_one_place_and_can_be_made():
    brain = (models.structure("U-N"), torch.zeros(2, 346))
    walked = measures.paths(brain, max_episode_steps=5)
    assert walked.shape == (2, 8, 6, 2) and np.ptp(walked[:, :, 0], axis=(0, 1)).max() == 0
    assert np.array_equal(walked[0], walked[1])
    assert measures.hand_compliance(brain, measures.POSTURES[0]).shape == (2, 2, 2)


def test_a_probe_tells_how_much_more_it_costs_one_hand_than_the_other(tmp_path):
    one, rng = models.structure("U-D"), torch.Generator().manual_seed(0)
    hands = {name: (one, 0.2 * torch.randn(2, 346, generator=rng)) for name in ("U-D", "U-ND")}
    study = Study(
        "bilateral", "t", "quick", tmp_path, say=lambda _: None, seeds_of=bilateral.SEEDS_OF
    )
    table = probes.run(study, hands, 3, "intended")
    assert [row.holds for row in study.rows] == [None] * len(probes.PROBES), (
        "two seeds are not judged"
    )
    hands["U-ND"] = hands["U-D"]
    for found in probes.run(study, hands, 3, "intended").values():
        assert {each.ratio for each in found.values()} == {1.0}
    assert len({each["jerk"].ratio for each in table.values()}) == len(probes.PROBES)


def test_gates_of_losses_and_network_hold(tmp_path):
    study = Study(
        "bilateral", "t", "quick", tmp_path, say=lambda _: None, seeds_of=bilateral.SEEDS_OF
    )
    anatomy.add_losses(study)
    assert study.rows[0].holds and 100 < float(study.rows[0].note.split()[0]) < 2000
    moved = anatomy.moved_by_loss1(models.structure("CC-S"))
    assert (
        moved["right"] == 0 and moved["left"] > 0 and moved["combiner"] > 0 and moved["output"] > 0
    )


def test_a_figure_without_a_meaning_in_a_trial_is_left_out_of_its_mean():
    brain = models.structure("U-N"), torch.zeros(2, 346)
    angles = np.tile(measures.CENTRE, (3, 1))
    hand = measures.Arm().hand(angles)
    found = measures.play(
        "reach", brain, 3, {"angles": angles, "target": hand + np.eye(3, 2, -1) / 10}
    )
    assert (np.isnan(found["direction_error"]) == [[True, False, False]] * 2).all()
    told = found["direction_error"][:, 1:].mean(1)
    assert measures.averaged(found)["direction_error"] == pytest.approx(told)
    assert np.isnan(measures.averaged(measures.play("hold", brain, 2))["direction_error"]).all()
