"""n MuJoCo simulations behind one object: `mujoco.batch`, the live ones, and parameters that may differ."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import DATA_FIELDS, Batch, SimulationError

from ..errors import LanceletError
from .compat import SET_CONST, quiet
from .field import Field

__all__ = ["SET_CONST", "Field", "Simulation"]

VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)
"""compute all that follows from positions and velocities"""
NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)
"""compute nothing"""
CONTROLS = int(mujoco.mjtState.mjSTATE_CTRL)
"""the part of the state that `Batch.rollout` sets before every substep"""

# Kinds of warning, columns of `batch.warning`, that end an episode.
CONTACTS_LOST = int(mujoco.mjtWarning.mjWARN_CONTACTFULL)
"""the arena had no room for all contacts"""
CONSTRAINTS_LOST = int(mujoco.mjtWarning.mjWARN_CNSTRFULL)
"""the arena had no room for all constraints"""
BAD_POSITION = int(mujoco.mjtWarning.mjWARN_BADQPOS)
BAD_VELOCITY = int(mujoco.mjtWarning.mjWARN_BADQVEL)
BAD_ACCELERATION = int(mujoco.mjtWarning.mjWARN_BADQACC)
FAULTS = slice(CONTACTS_LOST, BAD_ACCELERATION + 1)
"""the five columns above stand side by side"""
BLOWN_UP = {
    BAD_POSITION: "a position",
    BAD_VELOCITY: "a velocity",
    BAD_ACCELERATION: "an acceleration",
}
"""kind of warning -> what of the state blew up"""
COUNT = 1
"""column of `batch.warning`'s last axis: how often a warning rose since the last reset"""


class Simulation:
    """n simulations of one model, or of one each (all of one layout and timestep), on `nthread` threads.

    Any name of MjData (``qpos``, ``ctrl``, ``sensordata``, ``subtree_com``, ...) is an attribute: a live array
    (n, ...); state is writable, what physics computes is not. `step` refreshes all that depends on position and
    velocity, so that nothing read afterwards lags.

    A simulation that MuJoCo cannot compute, because its state blew up or its arena is too small for its contacts,
    never disturbs the others: `diverged` tells which, `reason` why, until the next `reset`. MuJoCo's own warning, on
    stderr and in ``MUJOCO_LOG.TXT``, is kept out.

    Copies (`copy.deepcopy`, `pickle`) go on bit for bit as the original would, apart from it.

    Args:
        models: compiled bodies; simulation i is of number i modulo their count.
        n: number of simulations.
        nthread: physics threads, 0 for all cores; the numbers do not depend on it.

    Raises:
        LanceletError: bodies of different layouts or timesteps.
    """

    def __init__(self, models: Sequence[mujoco.MjModel], n: int, nthread: int = 0) -> None:
        self.n = n
        self.nthread = nthread
        self.model = models[0]
        self.timestep = float(models[0].opt.timestep)
        timesteps = sorted({float(model.opt.timestep) for model in models})
        if len(timesteps) > 1:
            listed = ", ".join(f"{timestep:g}" for timestep in timesteps)
            raise LanceletError(
                f"bodies of one environment must share one timestep; theirs are {listed} s"
            )
        self.models: list[mujoco.MjModel] = []
        """the model of every simulation where bodies differ; empty where all are of `model`"""
        if len(models) > 1:
            self.models = [copy.copy(models[i % len(models)]) for i in range(n)]
        self.live: np.ndarray | None = None
        """ids to step, set by the core; None: all"""
        self.expanded: dict[str, np.ndarray] = {}
        """fields of which the batch has a row for every simulation: those rows, live"""
        self.compiled: dict[str, np.ndarray] = {}
        """the fields ever written, with the values that they were compiled with"""
        self._start_batch()

    def _start_batch(self) -> None:
        """Make the batch, and the views of it."""
        # A persistent batch keeps acceleration-stage sensors of one simulation out of another's row
        # (docs/libraries.md, "Sensors of another simulation").
        self.batch = Batch(self.model, self.n, self.nthread, persistent=True)
        self._errors: dict[int, str] = {}
        """simulation -> MuJoCo's error in it since its last reset"""
        self._sensors: dict[str, np.ndarray] = {}
        self.state = self.batch.state
        self._faults = self.batch.warning[:, FAULTS, COUNT]
        if self.models:
            try:
                self.batch.set_models(self.models)
            except mujoco.FatalError as error:
                raise LanceletError(
                    f"bodies of one environment must share one layout: {error}"
                ) from error
            self._run(self.batch.reset)

    def __getattr__(self, name: str) -> np.ndarray:
        """The live array (n, ...) of a field of MjData, asked for the first time."""
        if name.startswith("_") or name == "batch":
            raise AttributeError(name)
        array = getattr(self.batch, name)
        # Bound once: the batch keeps it current, and the next access finds it without this method.
        self.__dict__[name] = array
        return array

    def _run(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Make a `call` of the batch; where MuJoCo cannot compute a simulation, it alone stays as it was."""
        try:
            with quiet:
                call(*arguments, **options)
        except SimulationError as error:
            for i in error.ids.tolist():
                self._errors.setdefault(i, self.batch.error(i))

    def sensor(self, name: str) -> np.ndarray:
        """Live view (n, size) of the sensor called `name`."""
        if name not in self._sensors:
            sensor = self.model.sensor(name)
            first = sensor.adr[0]
            size = sensor.dim[0]
            self._sensors[name] = self.sensordata[:, first : first + size]
        return self._sensors[name]

    def field(self, name: str) -> Field:
        """A model parameter that may differ between simulations; the only way to change one."""
        # Made at each call: a field that were kept here would refer back to this simulation, and such a circle lives
        # on, with all its memory, until the garbage collector comes round.
        return Field(self, name)

    # -- time goes on -------------------------------------------------------------------------------------------------

    def reset(self, ids: np.ndarray) -> None:
        """Put simulations `ids` at the model's defaults, warnings cleared; call `forward` after writing to them."""
        self.batch.reset(ids, stage=NO_STAGE)
        if self._errors:
            for i in ids.tolist():
                self._errors.pop(i, None)

    def forward(self, ids: np.ndarray | None = None) -> None:
        """Compute what follows from the present state of `ids`."""
        self._run(self.batch.forward, ids)

    def step(self, substeps: int = 1) -> None:
        """Advance the live simulations, then refresh all that depends on position and velocity."""
        self._run(self.batch.step, self.live, substeps, VELOCITY_STAGE)

    def step_recorded(self, substeps: int) -> np.ndarray:
        """Advance as `step` does, and keep the sensors of every substep.

        Peaks of contact forces are half again as high between control steps as at their ends.

        Returns:
            (n, substeps, nsensordata); 0 for simulations that are not live. Sensors of forces and accelerations are
            those of each substep; those of positions and velocities are from its beginning, in the last one from its
            end.
        """
        recorded = np.zeros((self.n, substeps, self.model.nsensordata))
        rows = self._live_rows()
        if substeps > 1:
            live_count = self.n if self.live is None else len(self.live)
            out = {"sensordata": np.zeros((live_count, substeps - 1, self.model.nsensordata))}
            # `rollout` refreshes nothing: the last substep is left to `step`.
            self._run(
                self.batch.rollout, substeps - 1, record=("sensordata",), ids=self.live, out=out
            )
            recorded[rows, :-1] = out["sensordata"]
        self.step()
        recorded[rows, -1] = self.sensordata[rows]
        return recorded

    def drive(self, controls: np.ndarray) -> None:
        """Advance by controls (n, substeps, nu) that change every substep, then refresh as `step` does."""
        live_rows = self._live_rows()
        live_controls = controls if self.live is None else controls[self.live]
        substeps = live_controls.shape[1]
        if substeps > 1:
            # `rollout` refreshes nothing: the last substep is left to `step`.
            self._run(
                self.batch.rollout,
                substeps - 1,
                live_controls[:, :-1],
                CONTROLS,
                record=(),
                ids=self.live,
            )
        self.ctrl[live_rows] = live_controls[:, -1]
        self.step()

    def move(
        self, qpos: np.ndarray, qvel: np.ndarray, forces: np.ndarray, dt: float | None = None
    ) -> None:
        """Put the live simulations where the caller has integrated to, and compute all that follows.

        This is the step of a task that integrates by itself: it reads `qacc`, which is fresh after `move` and after
        a reset, and hands back where that leads.

        Args:
            qpos: (n, nq) positions.
            qvel: (n, nv) velocities.
            forces: (n, nv) generalised forces.
            dt: s by which time goes on; None: the timestep.
        """
        rows = self._live_rows()
        self.qpos[rows] = qpos[rows]
        self.qvel[rows] = qvel[rows]
        self.qfrc_applied[rows] = forces[rows]
        self.time[rows] += self.timestep if dt is None else dt
        self.forward(self.live)

    def _live_rows(self) -> slice | np.ndarray:
        """Index of the live simulations into arrays of n rows."""
        return slice(None) if self.live is None else self.live

    # -- divergence ---------------------------------------------------------------------------------------------------

    def diverged(self) -> np.ndarray | None:
        """True (n,) where MuJoCo could not go on from a state since the last `reset`; None: nowhere.

        It either put back a state that blew up, or had no room for its contacts: `reason` tells.
        """
        if not self._errors and not np.count_nonzero(self._faults):
            return None
        faulty = self._faults.any(1)
        faulty[list(self._errors)] = True
        return faulty

    def reason(self, i: int) -> str | None:
        """Why simulation `i` diverged since its last `reset`, in one line; None: it did not."""
        warning_counts = self.batch.warning[i, :, COUNT]
        error = self._errors.get(i, "")
        lost = warning_counts[CONTACTS_LOST] or warning_counts[CONSTRAINTS_LOST]
        if lost or "mj_stackAlloc" in error:
            return (
                f"arena too small: the {self.model.narena} bytes of its arena do not hold all contacts and "
                "constraints; leave `memory` of the body's MjSpec unset, or set it to more"
            )
        if error:
            return f"MuJoCo cannot compute it: {error.splitlines()[0]}"
        for kind, what in BLOWN_UP.items():
            if warning_counts[kind]:
                return f"the physics blew up: {what} is beyond all bounds or no number"
        return None

    # -- copies -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays.

        Returns:
            ``physics``: the states. ``warnings``: their counts. ``fields``: the model parameters ever written.
            ``derived``: what was computed from the states and has been read.
        """
        derived = {}
        for name, array in self.__dict__.items():
            # State is writable and part of `state`; an array that the batch computes is not.
            if isinstance(array, np.ndarray) and name in DATA_FIELDS and not array.flags.writeable:
                derived[name] = array.copy()
        return {
            "physics": self.state.copy(),
            "warnings": self.batch.warning.copy(),
            "fields": {name: np.array(self.field(name)) for name in self.compiled},
            "derived": derived,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go back to a `snapshot`, of this simulation or of one of the same bodies.

        One without ``warnings`` and ``derived`` will do: all is then computed from the states alone, and sensors of
        forces and accelerations, which lag one substep after a step, come from the present substep instead.
        """
        # Parameters come first: what follows from the states depends on them. Those written here but not in the
        # snapshot go back to what was compiled.
        for name, rows in {**self.compiled, **saved["fields"]}.items():
            self.field(name)[:] = rows
        for name in saved.get("derived", {}):
            getattr(self, name)  # bound now, so that `forward` fills it
        self.state[:] = saved["physics"]
        self.forward()
        if "warnings" in saved:
            # `forward` puts back a state that blew up and was not stepped yet.
            self.state[:] = saved["physics"]
            self.batch.warning[:] = saved["warnings"]
        for name, rows in saved.get("derived", {}).items():
            array = getattr(self, name)
            array.flags.writeable = True
            array[:] = rows
            array.flags.writeable = False

    def __getstate__(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "nthread": self.nthread,
            "model": self.model,
            "models": self.models,
            "timestep": self.timestep,
            "live": self.live,
            "compiled": self.compiled,
            "errors": self._errors,
            "snapshot": self.snapshot(),
        }

    def __setstate__(self, saved: Mapping[str, Any]) -> None:
        self.n = saved["n"]
        self.nthread = saved["nthread"]
        self.model = saved["model"]
        self.models = saved["models"]
        self.timestep = saved["timestep"]
        self.live = saved["live"]
        self.expanded = {}
        self.compiled = saved["compiled"]
        self._start_batch()
        self.restore(saved["snapshot"])
        # Last: `restore` computes, and would note errors of its own.
        self._errors = saved["errors"]
