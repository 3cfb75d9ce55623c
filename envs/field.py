"""One model parameter that may differ between the simulations of a batch: a mass, a viscosity, a wall's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
from mujoco.batch import SimulationError

from ..errors import LanceletError
from .compat import SET_CONST, quiet

if TYPE_CHECKING:
    from .simulation import Simulation

NOT_NEGATIVE = frozenset(
    [
        "body_mass",
        "body_inertia",
        "dof_armature",
        "dof_damping",
        "dof_frictionloss",
        "geom_friction",
        "geom_size",
        "tendon_armature",
        "tendon_frictionloss",
        "opt.density",
        "opt.viscosity",
    ]
)
"""fields whose negative values the physics takes as they are, and then gains energy or divides by nothing"""
POSITIVE = frozenset(["body_mass", "body_inertia"])
"""fields that must also stay above zero wherever they were compiled above it"""
STRUCTURE_ENDINGS = ("adr", "num", "id", "type")
"""endings of the names of whole-number fields that say how a model is built: MuJoCo would read past its arrays"""


class Field:
    """One model parameter of every simulation: read like an array (n, ...), written by ``field[ids] = values``.

    Args:
        sim: the simulations.
        name: an array of MjModel (``"body_mass"``), or ``opt.<name>`` of MjOption (``"opt.viscosity"``).

    Raises:
        LanceletError: there is no field of this name.
    """

    def __init__(self, sim: Simulation, name: str) -> None:
        self._sim = sim
        self._name = name
        self._attribute = name.removeprefix("opt.")
        if not hasattr(self._owner(sim.model), self._attribute):
            raise LanceletError(
                f"unknown model field {name!r}: give a name of MjModel, or opt.<name> of MjOption"
            )

    def _owner(self, model: mujoco.MjModel) -> mujoco.MjModel | mujoco.MjOption:
        """The object of `model` that has the field as its attribute."""
        return model.opt if self._name.startswith("opt.") else model

    def _of(self, model: mujoco.MjModel) -> Any:
        """The field's value in one model: a live array, or a number."""
        return getattr(self._owner(model), self._attribute)

    @property
    def values(self) -> np.ndarray:
        """The present values, (n, ...), read-only; write by item assignment."""
        sim = self._sim
        if sim.models:
            view = np.stack([np.asarray(self._of(model)) for model in sim.models])
        elif self._name in sim.expanded or SET_CONST & sim.compiled.keys():
            # Once an input of mj_setConst was written, any field may have been derived anew.
            view = self._batch_rows().view()
        else:
            value = np.asarray(self._of(sim.model))
            view = np.broadcast_to(value, (sim.n, *value.shape))
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        # A copy, so that ``field[i] *= 2`` writes by item assignment.
        return np.array(self.values[index])

    def __setitem__(self, index: Any, values: Any) -> None:
        """Write `values`; what the physics cannot carry is refused, and then nothing is written.

        Raises:
            LanceletError: values of another shape, not finite, negative where the physics has no negative ones, the
                timestep, or a field that says how the model is built.
        """
        sim = self._sim
        self._refuse_structure()
        rows_of_index = index[0] if isinstance(index, tuple) else index
        ids = np.unique(np.arange(sim.n)[rows_of_index])
        compiled = sim.compiled.get(self._name)
        if compiled is None:
            compiled = np.array(self.values)
        rows = np.array(self.values) if sim.models else self._batch_rows()
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

    def _refuse_structure(self) -> None:
        """Raise where the field says how the model is built."""
        is_whole = self.values.dtype.kind in "iu"
        # The collision type ends like a structure's name, but is a bit mask that may be written.
        is_collision_type = self._attribute.endswith("contype")
        if is_whole and self._attribute.endswith(STRUCTURE_ENDINGS) and not is_collision_type:
            raise LanceletError(
                f"field {self._name!r} says how the model is built: change the body instead"
            )

    def _check(self, new: np.ndarray, compiled: np.ndarray, ids: np.ndarray) -> None:
        """Refuse new values (k, ...) of simulations `ids` (k,) that the physics cannot carry.

        What a body was `compiled` with (k, ...) may always be written again.
        """
        both_nan = np.isnan(new) & np.isnan(compiled)
        changed = (new != compiled) & ~both_nan
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
            lower_end = new[..., :1]
            upper_end = new[..., 1:]
            inverted = (lower_end > upper_end) & changed
            self._refuse(inverted, new, ids, "the lower end must not lie above the upper one")

    def _refuse(self, wrong: np.ndarray, new: np.ndarray, ids: np.ndarray, rule: str) -> None:
        """Raise the error for the first of the values `new` (k, ...) of simulations `ids` that is `wrong`."""
        if not np.count_nonzero(wrong):
            return
        place = tuple(np.argwhere(wrong)[0].tolist())
        indices = (ids[place[0]], *place[1:])
        where = ", ".join(str(number) for number in indices)
        raise LanceletError(f"field {self._name!r}[{where}] = {new[place]}: {rule}")

    def _apply(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Let MuJoCo take simulations `ids` of the values `rows` (n, ...), and derive from them what it does."""
        sim = self._sim
        derives = self._name in SET_CONST
        with quiet:
            if not sim.models:
                # `rows` is the batch's own memory: only derived constants are left to do.
                if derives:
                    sim.batch.set_const(ids)
                return
            for i in ids:
                self._write_to_model(sim.models[i], rows[i])
                if derives:
                    mujoco.mj_setConst(sim.models[i], mujoco.MjData(sim.models[i]))
            sim.batch.set_models(sim.models)

    def _write_to_model(self, model: mujoco.MjModel, value: np.ndarray) -> None:
        """Write the field of one model, in place."""
        if np.ndim(self._of(model)) == 0:
            setattr(self._owner(model), self._attribute, value)
        else:
            self._of(model)[:] = value

    def _batch_rows(self) -> np.ndarray:
        """The batch's own rows of this field, live: what was written, or what `set_const` derived from it."""
        sim = self._sim
        if self._name not in sim.expanded:
            sim.expanded[self._name] = sim.batch.expand(self._name)
        return sim.expanded[self._name]
