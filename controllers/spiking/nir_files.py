"""NIR files of strangers: opened within limits, and without following a link out of them.

HDF5 holds arrays and text only, so that nothing in such a file runs. But it has links to other files, arrays whose
numbers lie in other files, and compression that unpacks a small file to terabytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from ... import foreign
from ...errors import LanceletError
from ...optional import extras

with extras():
    import h5py
    import nir

LARGEST_FILE = 256 * foreign.MIB
"""bytes of a file, and of all its arrays unpacked"""
MOST_OBJECTS = 10_000
"""groups and arrays in a file"""
DEEPEST = 16
"""levels of groups in one another"""


def open_graph(source: str | Path | io.BytesIO) -> nir.NIRGraph:
    """The graph in a NIR file, on disk or in memory.

    Raises:
        LanceletError: missing, no graph, cut short, larger than the limits, or leading out of the file.
    """
    try:
        file = source
        if not isinstance(file, io.BytesIO):
            file = io.BytesIO(foreign.read_bytes(file, LARGEST_FILE))
        with h5py.File(file, "r") as opened:
            budget = _Budget(array_bytes=LARGEST_FILE, objects=MOST_OBJECTS)
            _check_group(opened, "/", budget, depth=0)
        # nir's annotation names paths alone; h5py, which it calls, takes files too.
        return nir.read(file)  # pyright: ignore[reportArgumentType]
    except LanceletError:
        raise
    except Exception as error:
        # h5py and nir raise what they like on a broken file, or on a node that is no graph.
        reason = type(error).__name__
        if str(error):
            reason = str(error).splitlines()[0]
        raise LanceletError(f"{source} is not a NIR graph, or is cut short: {reason}") from error


@dataclass
class _Budget:
    """What is left of the limits of a file."""

    array_bytes: int
    """bytes that arrays may still take, unpacked"""
    objects: int
    """groups and arrays that may still come"""


def _check_group(group: h5py.Group, name: str, budget: _Budget, depth: int) -> None:
    """Refuse what leads out of an HDF5 file or into a circle, and arrays that are larger than the limit unpacked.

    Args:
        group: whose members are looked at, and theirs.
        name: path of the group in the file, ending in ``/``.
        budget: what the file may still hold; the members are taken off it, in place.
        depth: groups around this one.
    """
    if depth > DEEPEST:
        raise LanceletError(f"NIR group {name!r} lies more than {DEEPEST} levels deep")
    for key in group:
        budget.objects -= 1
        if budget.objects < 0:
            raise LanceletError(f"NIR file has more than {MOST_OBJECTS:,} groups and arrays")
        member_name = f"{name}{key}/"
        # The link is asked for before the member: to look at the member would follow it.
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise LanceletError(f"NIR {member_name!r} is a link: links are not followed")
        member = group[key]
        if isinstance(member, h5py.Group):
            _check_group(member, member_name, budget, depth + 1)
        else:
            _check_array(member, member_name, budget)


def _check_array(array: h5py.Dataset | h5py.Datatype, name: str, budget: _Budget) -> None:
    """Refuse what is no array, keeps its numbers in another file, or goes beyond the budget.

    Args:
        array: a member of the file that is no group.
        name: its path in the file, for the error.
        budget: what the file may still hold; the array is taken off it, in place.
    """
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise LanceletError(f"NIR {name!r} keeps its numbers in another file: they are not read")
    # An empty dataspace has no size at all.
    size = array.size or 0
    budget.array_bytes -= size * array.dtype.itemsize
    if budget.array_bytes < 0:
        raise LanceletError(f"NIR arrays take more than {LARGEST_FILE // foreign.MIB} MiB")
