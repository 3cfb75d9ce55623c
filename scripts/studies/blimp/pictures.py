"""Pictures of the blimp study: searches, imitation, step responses, a spike raster, weights."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import training
from lancelet.controllers import Controller
from lancelet.controllers.spiking.kernel import run as open_loop
from lancelet.controllers.spiking.snn import SNN
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.blimp.plant import HEAVY, PERIOD, TASK, pid
from lancelet.scripts.study import Study

COLORS = {"lif": "#1f6f8b", "iwta-lif": "#d1495b", "r-lif": "#8a6fb0", "r-iwta-lif": "#d99a2b"}
PROFILE = ((0.0, 1.0), (70.0, 1.5), (140.0, 0.5), (210.0, 1.0))


def draw(study: Study, data: dict[str, Any]) -> None:
    """All pictures for which `data` holds the figures."""
    if "curves" in data:
        _curves(study, data["curves"])
    full = data["full"]
    pd, i = full.terms
    _imitation(study, {"PD": (pd, data["pd held"]), "I": (i, data["i held"])})
    pilots = {"PID": pid(), "full SNN (LIF PD + IWTA I)": full}
    if "flown" in data:
        pilots["full SNN evolved in closed loop"] = data["flown"]
    records = {name: _flight(one) for name, one in pilots.items()}
    _responses(study, records)
    _raster(study, records["full SNN (LIF PD + IWTA I)"])
    _weights(study, {"PD, LIF": pd, "I, IWTA-LIF": i})


def _axes(title: str, x: str, y: str, height: float = 3.6) -> tuple[Any, Any]:
    plot, axes = plt.subplots(figsize=(7.5, height))
    tidy(axes, title, x, y)
    return plot, axes


def _flight(pilot: Controller) -> dict[str, np.ndarray]:
    """Recorded flight through `PROFILE` with ballast."""
    options = {"reference": PROFILE, "ballast": HEAVY, "max_episode_steps": 2800}
    return training.evaluate(pilot, TASK, 1, seed=0, record=True, **options).record


def _curves(study: Study, curves: dict[tuple[str, str], list[list[dict[str, float]]]]) -> None:
    plot, pair = plt.subplots(1, 2, figsize=(10, 3.6))
    for axes, role in zip(pair, ("pd", "i"), strict=True):
        for (which, structure), logs in curves.items():
            for k, log in enumerate(logs if which == role else ()):
                label = structure if k == 0 else None
                steps, best = [line["step"] for line in log], [line["best"] for line in log]
                axes.plot(steps, best, color=COLORS[structure], linewidth=1.1, label=label)
        axes.set_title(f"Imitating {role.upper()}", loc="left", fontsize=10)
        axes.set_xlabel("generations of 50")
        axes.set_ylabel("loss on validation flights, best so far")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    study.picture("learning", "One line a search; loss = MAE + 1 - correlation.", plot)


def _imitation(study: Study, shown: dict[str, tuple[Any, Any]]) -> None:
    plot, pair = plt.subplots(2, 1, figsize=(9, 5.4))
    for axes, (role, (network, held)) in zip(pair, shown.items(), strict=True):
        genes = parameters_to_vector(network.parameters()).detach()[None]
        output, _ = open_loop(network, genes, held.errors[0])
        times = np.arange(held.errors.shape[1]) * PERIOD
        axes.plot(times, output[0], color="#d1495b", linewidth=0.7, label="spiking network")
        axes.plot(times, held.targets[0], color="black", linewidth=0.9, label=f"{role} law")
        axes.set_ylabel("command units")
        axes.set_title(role, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    pair[0].legend(frameon=False, fontsize=8, loc="lower right")
    pair[1].set_xlabel("s")
    plot.tight_layout()
    study.picture(
        "imitation", "Open loop on the first test flight of each role, seen by no search.", plot
    )


def _responses(study: Study, records: dict[str, dict[str, np.ndarray]]) -> None:
    plot, axes = _axes("Heavy by 3 command units: steps of the reference", "s", "height (m)", 4.2)
    times = np.arange(2801) * PERIOD
    profile = np.array(PROFILE)
    level = profile[np.searchsorted(profile[:, 0], times, side="right") - 1, 1]
    axes.plot(times, level, color="grey", linestyle="--", linewidth=1, label="reference")
    colors = {
        "PID": "black",
        "full SNN (LIF PD + IWTA I)": "#d1495b",
        "full SNN evolved in closed loop": "#1f6f8b",
    }
    for name, record in records.items():
        axes.plot(times, record["qpos"][:, 0], color=colors[name], linewidth=1.1, label=name)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    study.picture(
        "responses",
        "One flight each on the nominal plant, started at rest with nothing integrated.",
        plot,
    )


def _raster(study: Study, record: dict[str, np.ndarray]) -> None:
    plot, axes = _axes(
        "Spikes of the full network after a step of +0.5 m", "s after the step", "neuron", 4.6
    )
    begin, shown, row = 690, 300, 0
    for term, role in (("1", "PD"), ("2", "I")):
        for layer in ("encoder", "hidden"):
            spikes = record[f"signal.{term}.{layer}"][begin : begin + shown]
            when, which = np.nonzero(spikes)
            axes.plot(
                (when - 10) * PERIOD,
                which + row,
                "|",
                markersize=2.2,
                color="#1f6f8b" if role == "PD" else "#d1495b",
            )
            axes.text(
                (shown - 8) * PERIOD,
                row + spikes.shape[1] / 2,
                f"{role} {layer}",
                fontsize=8,
                va="center",
            )
            row += spikes.shape[1]
            axes.axhline(row - 0.5, color="lightgrey", linewidth=0.6)
    axes.set_xlim(-1, (shown + 30) * PERIOD)
    study.picture(
        "raster",
        "Every spike of 160 neurons at 10 Hz; neurons come in pairs, one for either sign.",
        plot,
    )


def _weights(study: Study, networks: dict[str, Any]) -> None:
    plot, grid = plt.subplots(2, 2, figsize=(9, 5.2), width_ratios=(1.2, 1))
    for row, (name, network) in zip(grid, networks.items(), strict=True):
        assert isinstance(network, SNN)
        with torch.no_grad():
            values = {key: value.numpy() for key, value in network.values().items()}
        blocks = values["hidden_weight"].reshape(-1, 4)
        image = row[0].imshow(blocks.T, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
        row[0].set_yticks(range(4), ["own +", "cross +", "cross -", "own -"], fontsize=8)
        row[0].set_title(f"{name}: encoder to hidden, by pair", loc="left", fontsize=10)
        plot.colorbar(image, ax=row[0])
        row[1].plot(
            values["decoder_weight"][0::2],
            "o",
            color="#1f6f8b",
            markersize=3,
            label="decoder weight",
        )
        row[1].plot(values["membrane"], ".", color="#d1495b", markersize=4, label="membrane decay")
        row[1].axhline(0, color="lightgrey", linewidth=0.6)
        row[1].set_xlabel("pair, or neuron")
        row[1].legend(frameon=False, fontsize=8)
        row[1].spines[["top", "right"]].set_visible(False)
    plot.tight_layout()
    study.picture("weights", "Weights of the headline pair.", plot)
