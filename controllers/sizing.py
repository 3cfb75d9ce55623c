"""The width at which a controller has a given number of parameters, so that networks of equal size can be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..checks import whole_number
from ..errors import LanceletError

NEIGHBOURS = 8
"""widths on each side of the first guess that are tried: a sparse network may have fewer synapses where it is wider"""
LARGEST_WIDTH = 1 << 20
"""no wider network is tried"""
LARGEST_REFUSED = 256
"""a controller that takes no width up to this one has other reasons"""


def width_for(name: str, env: Any, parameters: int, options: dict[str, Any]) -> dict[str, Any]:
    """As `controllers.size_for`, with the options as a dict.

    Args:
        name: of a registered controller.
        env: a Gymnasium environment, single or vector.
        parameters: number of trainable numbers to come nearest to.
        options: further options of the controller.
    """
    whole_number("parameters", parameters, least=1)
    as_hidden = _form_of_width(name)

    def count(width: int) -> int:
        """Parameters of the network of this width."""
        from . import make

        sized = {**options, "hidden": as_hidden(width)}
        return make(name, env, **sized).parameter_count

    smallest = _smallest_width(count)
    if count(smallest) > parameters:
        raise LanceletError(
            f"parameters = {parameters:,}: {name} has {count(smallest):,} at least for these "
            f"observations and actions (hidden = {smallest})"
        )
    guess = _first_above(count, parameters, smallest)
    candidates = range(max(smallest, guess - NEIGHBOURS), guess + NEIGHBOURS + 1)
    # The narrowest of the nearest: `min` gives the first of equal ones.
    width = min(candidates, key=lambda width: abs(count(width) - parameters))
    return {**options, "hidden": as_hidden(width)}


def _form_of_width(name: str) -> Callable[[int], Any]:
    """How a width is written as the option `hidden` of a controller.

    Raises:
        LanceletError: it has no such option, or one that is no width.
    """
    from . import controllers

    defaults = controllers.get(name).Options()
    fields = [field.name for field in dataclasses.fields(defaults)]
    hidden = getattr(defaults, "hidden", None) if "hidden" in fields else None
    if isinstance(hidden, int):
        return lambda width: width
    if isinstance(hidden, tuple) and len(hidden) > 0:
        layers = len(hidden)
        return lambda width: (width,) * layers
    raise LanceletError(f"{name} has no width to solve for: it has no option hidden of units")


def _smallest_width(count: Callable[[int], int]) -> int:
    """The smallest width that the controller takes: wired networks need some neurons of each layer.

    Raises:
        LanceletError: what the controller says of the largest width tried, where it takes none.
    """
    width = 1
    while True:
        try:
            count(width)
        except LanceletError:
            # What is wrong with other options stays wrong, and is said in the end.
            if width >= LARGEST_REFUSED:
                raise
            width += 1
        else:
            return width


def _first_above(count: Callable[[int], int], parameters: int, smallest: int) -> int:
    """The first width with more than `parameters`, if they grow with the width; by bisection.

    Args:
        count: parameters of a width.
        parameters: to be exceeded.
        smallest: width that the controller takes and that has no more.
    """
    low = smallest
    high = smallest + 1
    while count(high) <= parameters:
        low = high
        high = 2 * high
        if high > LARGEST_WIDTH:
            raise LanceletError(f"parameters = {parameters:,}: no network is made that large")
    while high - low > 1:
        middle = (low + high) // 2
        if count(middle) > parameters:
            high = middle
        else:
            low = middle
    return high
