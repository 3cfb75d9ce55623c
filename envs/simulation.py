"""n MuJoCo simulations behind one object: `mujoco.batch`, the live ones, and parameters that may differ."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import DATA_FIELDS, Batch, SimulationError

from ..errors import LanceletError

# A diverged simulation would print a line and append to MUJOCO_LOG.TXT; `Simulation.diverged` reports it instead.
mujoco.set_mju_user_warning(lambda _message: None)

VEL = int(mujoco.mjtStage.mjSTAGE_VEL)
NONE = int(mujoco.mjtStage.mjSTAGE_NONE)
CTRL = int(mujoco.mjtState.mjSTATE_CTRL)

# Columns of `batch.warning` that end an episode. The first two: the arena had no room for all contacts or constraints.
CONTACTS_LOST = int(mujoco.mjtWarning.mjWARN_CONTACTFULL)
CONSTRAINTS_LOST = int(mujoco.mjtWarning.mjWARN_CNSTRFULL)
BAD_POSITION = int(mujoco.mjtWarning.mjWARN_BADQPOS)
BAD_VELOCITY = int(mujoco.mjtWarning.mjWARN_BADQVEL)
BAD_ACCELERATION = int(mujoco.mjtWarning.mjWARN_BADQACC)
FAULTS = slice(CONTACTS_LOST, BAD_ACCELERATION + 1)
BLOWN_UP = {
    BAD_POSITION: "a position",
    BAD_VELOCITY: "a velocity",
    BAD_ACCELERATION: "an acceleration",
}

# Fields from which mj_setConst derives others (a private name of mujoco 3.17: a test keeps watch over what is in it).
SET_CONST = frozenset(mujoco.MjModel._setconst_inputs)  # pyright: ignore[reportAttributeAccessIssue]


# Fields that the physics takes as they are, though a negative value makes it gain energy or divide by nothing.
NOT_NEGATIVE = frozenset(
    [
        "body_mass", "body_inertia", "dof_armature", "dof_damping", "dof_frictionloss", "geom_friction", "geom_size",
        "tendon_armature", "tendon_frictionloss", "opt.density", "opt.viscosity",
    ]
)  # fmt: skip
# Fields that must also stay above zero wherever they were compiled above it.
POSITIVE = frozenset(["body_mass", "body_inertia"])
# Endings of the names of whole-number fields that say how a model is built; MuJoCo would read past its arrays.
STRUCTURE = ("adr", "num", "id", "type")


class Field:
    """One model parameter of every simulation: read like an array (n, ...), written by ``field[ids] = values``."""

    def __init__(self, sim: Simulation, name: str) -> None:
        self._sim, self._name = sim, name
        self._attribute = name.removeprefix("opt.")
        if not hasattr(self._owner(sim.model), self._attribute):
            raise LanceletError(
                f"unknown model field {name!r}: give a name of MjModel, or opt.<name> of MjOption"
            )

    def _owner(self, model: mujoco.MjModel) -> Any:
        return model.opt if self._name.startswith("opt.") else model

    def _of(self, model: mujoco.MjModel) -> Any:
        return getattr(self._owner(model), self._attribute)

    @property
    def values(self) -> np.ndarray:
        """The present values, (n, ...); write by item assignment only."""
        if self._name in self._sim.expanded or (
            SET_CONST & self._sim.compiled.keys() and not self._sim.models
        ):
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
        return np.array(
            self.values[index]
        )  # a copy, so that ``field[i] *= 2`` writes by item assignment

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write `values`; what the physics cannot carry is refused, and then nothing is written.

        Raises:
            LanceletError: values of another shape, not finite, negative where the physics has no negative ones, the
                timestep, or a field that says how the model is built.
        """
        sim = self._sim
        whole = self.values.dtype.kind in "iu"
        if (
            whole
            and self._attribute.endswith(STRUCTURE)
            and not self._attribute.endswith("contype")
        ):
            raise LanceletError(
                f"field {self._name!r} says how the model is built: change the body instead"
            )
        ids = np.unique(np.arange(sim.n)[index[0] if isinstance(index, tuple) else index])
        compiled = sim.compiled.get(self._name)
        if compiled is None:
            compiled = np.array(self.values)
        rows = np.array(self.values) if sim.models else self._rows()
        before = rows[ids]
        try:
            rows[index] = values
            self._check(rows[ids], compiled[ids], ids)
            self._apply(ids, rows)
        except (LanceletError, SimulationError, ValueError, TypeError) as error:
            rows[ids] = before
            self._apply(ids, rows)
            if isinstance(error, LanceletError):
                raise
            reason = str(error).splitlines()[0]
            raise LanceletError(
                f"field {self._name!r} {rows.shape} cannot take {values!r}: {reason}"
            ) from error
        sim.compiled.setdefault(self._name, compiled)

    def _check(self, new: np.ndarray, compiled: np.ndarray, ids: np.ndarray) -> None:
        """Refuse new values (k, ...) of simulations `ids` that the physics cannot carry.

        What a body was compiled with may always be written again.
        """
        changed = (new != compiled) & ~(np.isnan(new) & np.isnan(compiled))
        if self._name == "opt.timestep" and changed.any():
            raise LanceletError(
                "field 'opt.timestep': all speeds are told by the body's own; make a body with another"
            )
        self._refuse(changed & ~np.isfinite(new), new, ids, "must be finite")
        if self._name in NOT_NEGATIVE:
            self._refuse(changed & (new < 0), new, ids, "must be 0 or more")
        if self._name in POSITIVE:
            self._refuse((new <= 0) & (compiled > 0), new, ids, "must be above 0")
        if self._name.endswith("range") and new.ndim > 1 and new.shape[-1] == 2:
            inverted = (new[..., :1] > new[..., 1:]) & changed
            self._refuse(inverted, new, ids, "the lower end must not lie above the upper one")

    def _refuse(self, wrong: np.ndarray, new: np.ndarray, ids: np.ndarray, need: str) -> None:
        """Raise the error for the first value that is `wrong`, (k, ...) of simulations `ids`."""
        if not np.count_nonzero(wrong):
            return
        place = tuple(np.argwhere(wrong)[0].tolist())
        where = ", ".join(str(number) for number in (ids[place[0]], *place[1:]))
        raise LanceletError(f"field {self._name!r}[{where}] = {new[place]}: {need}")

    def _apply(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Let MuJoCo take simulations `ids` of the values `rows` (n, ...), and derive from them what it does."""
        sim = self._sim
        if not sim.models:
            if self._name in SET_CONST:
                sim.batch.set_const(ids)
            return
        for i in ids:
            model = sim.models[i]
            if np.ndim(self._of(model)) == 0:
                setattr(self._owner(model), self._attribute, rows[i])
            else:
                self._of(model)[:] = rows[i]
            if self._name in SET_CONST:
                mujoco.mj_setConst(model, mujoco.MjData(model))
        sim.batch.set_models(sim.models)

    def _rows(self) -> np.ndarray:
        """The batch's own rows of this field: what was written, or what `set_const` derived from it."""
        sim = self._sim
        if self._name not in sim.expanded:
            sim.expanded[self._name] = sim.batch.expand(self._name)
        return sim.expanded[self._name]


class Simulation:
    """n simulations of one model, or of one each (all of one layout and timestep), on `nthread` threads.

    Any name of MjData (``qpos``, ``ctrl``, ``sensordata``, ``subtree_com``, ...) is an attribute: a live array
    (n, ...); state is writable, what physics computes is not. `step` refreshes all that depends on position and
    velocity, so that nothing read afterwards lags.

    A simulation that MuJoCo cannot compute, because its state blew up or its arena is too small for its contacts,
    never disturbs the others: `diverged` tells which, `reason` why, until the next `reset`.

    Copies (`copy.deepcopy`, `pickle`) go on bit for bit as the original would, apart from it.

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
            told = ", ".join(f"{timestep:g}" for timestep in timesteps)
            raise LanceletError(
                f"bodies of one environment must share one timestep; theirs are {told} s"
            )
        self.models = (
            [copy.copy(models[i % len(models)]) for i in range(n)] if len(models) > 1 else []
        )
        self.live: np.ndarray | None = None
        """ids to step, set by the core; None: all"""
        self.expanded: dict[str, np.ndarray] = {}
        self.compiled: dict[str, np.ndarray] = {}
        """the fields ever written, with the values they were compiled with"""
        self._start()

    def _start(self) -> None:
        """Make the batch, and the views of it."""
        # persistent: keeps acceleration-stage sensors of one simulation out of another's row (facts/mujoco.md 0.1)
        self.batch = Batch(self.model, self.n, self.nthread, persistent=True)
        self._errors: dict[int, str] = {}
        """simulation -> MuJoCo's error in it since its last reset"""
        self._sensors: dict[str, np.ndarray] = {}
        self.state = self.batch.state
        self._faults = self.batch.warning[:, FAULTS, 1]
        if self.models:
            try:
                self.batch.set_models(self.models)
            except mujoco.FatalError as error:
                raise LanceletError(
                    f"bodies of one environment must share one layout: {error}"
                ) from error
            self._run(self.batch.reset)

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name == "batch":
            raise AttributeError(name)
        array = getattr(self.batch, name)
        self.__dict__[name] = array  # bound once: the batch keeps it current
        return array

    def _run(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Make a `call` of the batch; where MuJoCo cannot compute a simulation, it alone stays as it was."""
        try:
            call(*arguments, **options)
        except SimulationError as error:
            for i in error.ids.tolist():
                self._errors.setdefault(i, self.batch.error(i))

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
        if self._errors:
            for i in ids.tolist():
                self._errors.pop(i, None)

    def forward(self, ids: np.ndarray | None = None) -> None:
        """Compute what follows from the present state of `ids`."""
        self._run(self.batch.forward, ids)

    def step(self, substeps: int = 1) -> None:
        """Advance the live simulations, then refresh all that depends on position and velocity."""
        self._run(self.batch.step, self.live, substeps, VEL)

    def drive(self, controls: np.ndarray) -> None:
        """Advance by controls (n, substeps, nu) that change every substep, then refresh as `step` does."""
        rows = controls if self.live is None else controls[self.live]
        if rows.shape[1] > 1:
            self._run(
                self.batch.rollout, rows.shape[1] - 1, rows[:, :-1], CTRL, record=(), ids=self.live
            )
        self.ctrl[slice(None) if self.live is None else self.live] = rows[:, -1]
        self.step()

    def move(
        self, qpos: np.ndarray, qvel: np.ndarray, forces: np.ndarray, dt: float | None = None
    ) -> None:
        """Put the live simulations there, under generalised forces (n, nv), and compute all that follows.

        This is the step of a task that integrates by itself: it reads `qacc`, which is fresh after `move` and after
        a reset, and hands back where that leads. Time goes on by `dt`, the timestep if none is given.
        """
        rows = slice(None) if self.live is None else self.live
        self.qpos[rows], self.qvel[rows], self.qfrc_applied[rows] = (
            qpos[rows],
            qvel[rows],
            forces[rows],
        )
        self.time[rows] += self.timestep if dt is None else dt
        self.forward(self.live)

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
        warning = self.batch.warning[i, :, 1]
        error = self._errors.get(i, "")
        if warning[CONTACTS_LOST] or warning[CONSTRAINTS_LOST] or "mj_stackAlloc" in error:
            size = f"the {self.model.narena} bytes of its arena do not hold all contacts and constraints"
            return f"arena too small: {size}; leave `memory` of the body's MjSpec unset, or set it to more"
        if error:
            return f"MuJoCo cannot compute it: {error.splitlines()[0]}"
        for column, what in BLOWN_UP.items():
            if warning[column]:
                return f"the physics blew up: {what} is beyond all bounds or no number"
        return None

    # -- copies -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that decides what comes next, as arrays: states, warnings, written fields, what was computed."""
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

    def __setstate__(self, kept: Mapping[str, Any]) -> None:
        self.n = kept["n"]
        self.nthread = kept["nthread"]
        self.model = kept["model"]
        self.models = kept["models"]
        self.timestep = kept["timestep"]
        self.live = kept["live"]
        self.expanded = {}
        self.compiled = kept["compiled"]
        self._start()
        self.restore(kept["snapshot"])
        self._errors = kept["errors"]
