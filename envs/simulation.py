"""n MuJoCo simulations behind one object: `mujoco.batch`, the live ones, and parameters that may differ."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch

from ..errors import LanceletError

# A diverged simulation would print a line and append to MUJOCO_LOG.TXT; `Simulation.diverged` reports it instead.
mujoco.set_mju_user_warning(lambda _message: None)

VEL = int(mujoco.mjtStage.mjSTAGE_VEL)
NONE = int(mujoco.mjtStage.mjSTAGE_NONE)
CTRL = int(mujoco.mjtState.mjSTATE_CTRL)

# Fields from which mj_setConst derives others (a private name of mujoco 3.17: a test keeps watch over what is in it).
SET_CONST = frozenset(mujoco.MjModel._setconst_inputs)  # pyright: ignore[reportAttributeAccessIssue]


class Field:
    """One model parameter of every simulation: read like an array (n, ...), written by ``field[ids] = values``."""

    def __init__(self, sim: Simulation, name: str) -> None:
        self._sim, self._name = sim, name
        self._attribute = name.removeprefix("opt.")
        if not hasattr(self._owner(sim.model), self._attribute):
            raise LanceletError(f"unknown model field {name!r}: give a name of MjModel, or opt.<name> of MjOption")

    def _owner(self, model: mujoco.MjModel) -> Any:
        return model.opt if self._name.startswith("opt.") else model

    def _of(self, model: mujoco.MjModel) -> Any:
        return getattr(self._owner(model), self._attribute)

    @property
    def values(self) -> np.ndarray:
        """The present values, (n, ...); write by item assignment only."""
        if self._name in self._sim.expanded or (SET_CONST & self._sim.compiled.keys() and not self._sim.models):
            view = self._rows().view()
        elif self._sim.models:
            view = np.stack([np.asarray(self._of(model)) for model in self._sim.models])
        else:
            value = np.asarray(self._of(self._sim.model))
            view = np.broadcast_to(value, (self._sim.n, *value.shape))
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return np.array(self.values[index])  # a copy, so that ``field[i] *= 2`` writes by item assignment

    def __setitem__(self, index: Any, values: Any) -> None:
        sim = self._sim
        ids = np.unique(np.arange(sim.n)[index[0] if isinstance(index, tuple) else index])
        sim.compiled.setdefault(self._name, np.array(self.values))
        if sim.models:
            new = np.array(self.values)
            new[index] = values
            for i in ids:
                model = sim.models[i]
                if np.ndim(self._of(model)) == 0:
                    setattr(self._owner(model), self._attribute, new[i])
                else:
                    self._of(model)[:] = new[i]
                if self._name in SET_CONST:
                    mujoco.mj_setConst(model, mujoco.MjData(model))
            sim.batch.set_models(sim.models)
            return
        self._rows()[index] = values
        if self._name in SET_CONST:
            sim.batch.set_const(ids)

    def _rows(self) -> np.ndarray:
        """The batch's own rows of this field: what was written, or what `set_const` derived from it."""
        sim = self._sim
        if self._name not in sim.expanded:
            sim.expanded[self._name] = sim.batch.expand(self._name)
        return sim.expanded[self._name]


class Simulation:
    """n simulations of one model, or of one each (all of one layout), on `nthread` threads.

    Any name of MjData (``qpos``, ``ctrl``, ``sensordata``, ``subtree_com``, ...) is an attribute: a live array
    (n, ...); state is writable, what physics computes is not. `step` refreshes all that depends on position and
    velocity, so that nothing read afterwards lags.
    """

    def __init__(self, models: Sequence[mujoco.MjModel], n: int, nthread: int = 0) -> None:
        self.n = n
        self.model, self.timestep = models[0], float(models[0].opt.timestep)
        # persistent: keeps acceleration-stage sensors of one simulation out of another's row (facts/mujoco.md 0.1)
        self.batch = Batch(self.model, n, nthread, persistent=True)
        self.models = [copy.copy(models[i % len(models)]) for i in range(n)] if len(models) > 1 else []
        if self.models:
            try:
                self.batch.set_models(self.models)
            except mujoco.FatalError as error:
                raise LanceletError(f"bodies of one environment must share one layout: {error}") from error
            self.batch.reset()
        self.live: np.ndarray | None = None
        """ids to step, set by the core; None: all"""
        self.expanded: dict[str, np.ndarray] = {}
        self.compiled: dict[str, np.ndarray] = {}
        """the fields ever written, with the values they were compiled with"""
        self._sensors: dict[str, np.ndarray] = {}
        self.state = self.batch.state
        self._faults = self.batch.warning[:, 3:6, 1]  # BADQPOS, BADQVEL, BADQACC

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name == "batch":
            raise AttributeError(name)
        array = getattr(self.batch, name)
        self.__dict__[name] = array  # bound once: the batch keeps it current
        return array

    def sensor(self, name: str) -> np.ndarray:
        """Live view (n, size) of the sensor called `name`."""
        if name not in self._sensors:
            sensor = self.model.sensor(name)
            self._sensors[name] = self.sensordata[:, sensor.adr[0] : sensor.adr[0] + sensor.dim[0]]
        return self._sensors[name]

    def field(self, name: str) -> Field:
        """A model parameter that may differ between simulations; the only way to change one."""
        # Made at each call: a field that were kept here would refer back to this simulation, and such a circle lives
        # on, with all its memory, until the garbage collector comes round.
        return Field(self, name)

    def reset(self, ids: np.ndarray) -> None:
        """Put simulations `ids` at the model's defaults, warnings cleared; call `forward` after writing to them."""
        self.batch.reset(ids, stage=NONE)

    def forward(self, ids: np.ndarray | None = None) -> None:
        """Compute what follows from the present state of `ids`."""
        self.batch.forward(ids)

    def step(self, substeps: int = 1) -> None:
        """Advance the live simulations, then refresh all that depends on position and velocity."""
        self.batch.step(self.live, substeps, VEL)

    def drive(self, controls: np.ndarray) -> None:
        """Advance by controls (n, substeps, nu) that change every substep, then refresh as `step` does."""
        rows = controls if self.live is None else controls[self.live]
        if rows.shape[1] > 1:
            self.batch.rollout(rows.shape[1] - 1, rows[:, :-1], CTRL, record=(), ids=self.live)
        self.ctrl[slice(None) if self.live is None else self.live] = rows[:, -1]
        self.batch.step(self.live, 1, VEL)

    def move(self, qpos: np.ndarray, qvel: np.ndarray, forces: np.ndarray, dt: float | None = None) -> None:
        """Put the live simulations there, under generalised forces (n, nv), and compute all that follows.

        This is the step of a task that integrates by itself: it reads `qacc`, which is fresh after `move` and after
        a reset, and hands back where that leads. Time goes on by `dt`, the timestep if none is given.
        """
        rows = slice(None) if self.live is None else self.live
        self.qpos[rows], self.qvel[rows], self.qfrc_applied[rows] = qpos[rows], qvel[rows], forces[rows]
        self.time[rows] += self.timestep if dt is None else dt
        self.batch.forward(self.live)

    def diverged(self) -> np.ndarray | None:
        """True (n,) where MuJoCo had to reset a state that blew up since the last `reset`; None: nowhere."""
        return self._faults.any(1) if np.count_nonzero(self._faults) else None
