"""Pictures of the blimp study: searches, imitation, step responses, a spike raster, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

# Before pyplot is imported: pictures go to files, and no display is needed.
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch.nn.utils import parameters_to_vector

from lancelet import training
from lancelet.controllers import Controller
from lancelet.controllers.spiking.kernel import run as open_loop
from lancelet.controllers.spiking.snn import SNN
from lancelet.controllers.sum import Sum
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.blimp.networks import ROLES, Role
from lancelet.scripts.studies.blimp.plant import HEAVY, PERIOD, RATE, TASK, level_at, pid
from lancelet.scripts.study import Study
from lancelet.training.imitation.flights import Flights

COLORS = {"lif": "#1f6f8b", "iwta-lif": "#d1495b", "r-lif": "#8a6fb0", "r-iwta-lif": "#d99a2b"}
"""of the structures"""
BLUE = "#1f6f8b"
RED = "#d1495b"
FULL = "full SNN (LIF PD + IWTA I)"
FLOWN = "full SNN evolved in closed loop"
PILOT_COLORS = {"PID": "black", FULL: RED, FLOWN: BLUE}
"""who flies `PROFILE`, and the color of the flight"""
STEP_TIME = 70
"""s, between steps of `PROFILE`"""
PROFILE = (
    (0.0, 1.0),
    (1.0 * STEP_TIME, 1.5),
    (2.0 * STEP_TIME, 0.5),
    (3.0 * STEP_TIME, 1.0),
)
"""reference of the flights that are drawn: (s, m)"""
FLIGHT_STEPS = 4 * STEP_TIME * RATE
"""control steps of these flights"""
SAMPLES_BEFORE = 10
"""of the raster, before the first step of `PROFILE`"""
SAMPLES_SHOWN = 300
"""of the raster, with those before the step"""
CROSSINGS = ("own +", "cross +", "cross -", "own -")
"""weights from an encoder pair to its hidden pair, in the order in which the network stores them"""

Log = Sequence[Mapping[str, Any]]
"""lines of a run's log"""
Record = dict[str, np.ndarray]
"""a recorded flight (`training.rollout.Score.record`)"""


@dataclass(frozen=True)
class Results:
    """What the study found, as the pictures show it."""

    curves: Mapping[tuple[Role, str], Sequence[Log]]
    """Role and structure -> logs of the searches."""
    held: Mapping[Role, Flights]
    """Test flights of each role."""
    full: Sum
    """The pair of PD and I networks."""
    flown: Controller | None = None
    """The pair, evolved further in closed loop; None: it was not."""


def draw(study: Study, results: Results) -> None:
    """Draw all pictures into the study's folder and report."""
    if results.curves:
        _curves(study, results.curves)
    pd_network, i_network = (_spiking(term) for term in results.full.terms)
    _imitation(study, {"pd": pd_network, "i": i_network}, results.held)
    pilots = {"PID": pid(), FULL: results.full}
    if results.flown is not None:
        pilots[FLOWN] = results.flown
    records = {name: _flight(pilot) for name, pilot in pilots.items()}
    _responses(study, records)
    _raster(study, records[FULL])
    _weights(study, {"PD, LIF": pd_network, "I, IWTA-LIF": i_network})


def _spiking(network: Any) -> SNN:
    """The network, which must be a spiking one."""
    assert isinstance(network, SNN)
    return network


def _axes(title: str, x: str, y: str, height: float) -> tuple[Any, Axes]:
    """A figure with one set of axes.

    Args:
        title: above the axes.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        height: of the figure, inches.
    """
    plot, axes = plt.subplots(figsize=(7.5, height))
    tidy(axes, title, x, y)
    return plot, axes


def _flight(pilot: Controller) -> Record:
    """Recorded flight through `PROFILE` with ballast."""
    score = training.evaluate(
        pilot,
        TASK,
        1,
        seed=0,
        record=True,
        reference=PROFILE,
        ballast=HEAVY,
        max_episode_steps=FLIGHT_STEPS,
    )
    return score.record


def _curves(study: Study, curves: Mapping[tuple[Role, str], Sequence[Log]]) -> None:
    """Best loss so far of every search, a column a role."""
    plot, columns = plt.subplots(1, 2, figsize=(10, 3.6))
    for axes, shown_role in zip(columns, ROLES, strict=True):
        for (role, structure), logs in curves.items():
            if role != shown_role:
                continue
            for number, log in enumerate(logs):
                # One line of the legend a structure, not one a search.
                label = structure if number == 0 else None
                steps = [line["step"] for line in log]
                best = [line["best"] for line in log]
                axes.plot(steps, best, color=COLORS[structure], linewidth=1.1, label=label)
        tidy(
            axes,
            f"Imitating {shown_role.upper()}",
            "generations of 50",
            "loss on validation flights, best so far",
        )
        axes.legend(frameon=False, fontsize=8)
    study.picture("learning", "One line a search; loss = MAE + 1 - correlation.", plot)


def _imitation(study: Study, networks: Mapping[Role, SNN], held: Mapping[Role, Flights]) -> None:
    """What the networks and the laws they imitate make of one flight, a row a role."""
    plot, rows = plt.subplots(2, 1, figsize=(9, 5.4))
    for axes, (role, network) in zip(rows, networks.items(), strict=True):
        flights = held[role]
        title = role.upper()
        genes = parameters_to_vector(network.parameters()).detach()[None]
        output, _ = open_loop(network, genes, flights.errors[0])
        times = np.arange(flights.errors.shape[1]) * PERIOD
        axes.plot(times, output[0], color=RED, linewidth=0.7, label="spiking network")
        axes.plot(times, flights.targets[0], color="black", linewidth=0.9, label=f"{title} law")
        tidy(axes, title, y="command units")
    rows[0].legend(frameon=False, fontsize=8, loc="lower right")
    rows[1].set_xlabel("s")
    plot.tight_layout()
    caption = "Open loop on the first test flight of each role, seen by no search."
    study.picture("imitation", caption, plot)


def _responses(study: Study, records: Mapping[str, Record]) -> None:
    """Height over time of each pilot through `PROFILE`."""
    title = f"Heavy by {HEAVY:g} command units: steps of the reference"
    plot, axes = _axes(title, "s", "height (m)", height=4.2)
    # The record begins with the start: one sample more than there are steps.
    times = np.arange(FLIGHT_STEPS + 1) * PERIOD
    level = level_at(times, PROFILE)
    axes.plot(times, level, color="grey", linestyle="--", linewidth=1, label="reference")
    for name, record in records.items():
        height = record["qpos"][:, 0]
        axes.plot(times, height, color=PILOT_COLORS[name], linewidth=1.1, label=name)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    caption = "One flight each on the nominal plant, started at rest with nothing integrated."
    study.picture("responses", caption, plot)


def _raster(study: Study, record: Record) -> None:
    """Every spike of the full controller around the first step of `PROFILE`, a line a neuron."""
    title = "Spikes of the full network after a step of +0.5 m"
    plot, axes = _axes(title, "s after the step", "neuron", height=4.6)
    begin = STEP_TIME * RATE - SAMPLES_BEFORE
    label_time = (SAMPLES_SHOWN - 8) * PERIOD
    # The layers are stacked: each begins at the line above the last one of the layer before.
    first_line = 0
    for term, role, color in (("1", "PD", BLUE), ("2", "I", RED)):
        for layer in ("encoder", "hidden"):
            spikes = record[f"signal.{term}.{layer}"][begin : begin + SAMPLES_SHOWN]
            neurons = spikes.shape[1]
            samples, spiking = np.nonzero(spikes)
            times = (samples - SAMPLES_BEFORE) * PERIOD
            axes.plot(times, spiking + first_line, "|", markersize=2.2, color=color)
            middle = first_line + neurons / 2
            axes.text(label_time, middle, f"{role} {layer}", fontsize=8, va="center")
            first_line += neurons
            axes.axhline(first_line - 0.5, color="lightgrey", linewidth=0.6)
    axes.set_xlim(-SAMPLES_BEFORE * PERIOD, (SAMPLES_SHOWN + 30) * PERIOD)
    caption = (
        f"Every spike of 160 neurons at {RATE} Hz; neurons come in pairs, one for either sign."
    )
    study.picture("raster", caption, plot)


def _weights(study: Study, networks: Mapping[str, SNN]) -> None:
    """Weights and decays, a row a network."""
    plot, grid = plt.subplots(2, 2, figsize=(9, 5.2), width_ratios=(1.2, 1))
    for (left, right), (name, network) in zip(grid, networks.items(), strict=True):
        with torch.no_grad():
            values = {key: value.numpy() for key, value in network.values().items()}
        blocks = values["hidden_weight"].reshape(-1, len(CROSSINGS))
        image = left.imshow(blocks.T, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
        left.set_yticks(range(len(CROSSINGS)), CROSSINGS, fontsize=8)
        left.set_title(f"{name}: encoder to hidden, by pair", loc="left", fontsize=10)
        plot.colorbar(image, ax=left)
        # The two neurons of a pair have opposite decoder weights: one of them says all.
        decoder = values["decoder_weight"][0::2]
        right.plot(decoder, "o", color=BLUE, markersize=3, label="decoder weight")
        right.plot(values["membrane"], ".", color=RED, markersize=4, label="membrane decay")
        right.axhline(0, color="lightgrey", linewidth=0.6)
        right.set_xlabel("pair, or neuron")
        right.legend(frameon=False, fontsize=8)
        right.spines[["top", "right"]].set_visible(False)
    plot.tight_layout()
    study.picture("weights", "Weights of the headline pair.", plot)
