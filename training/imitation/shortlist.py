"""The best candidates of a search so far by their loss in open loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Candidate(NamedTuple):
    """A network on the shortlist."""

    genes: Tensor
    """(genes,)"""
    loss: float
    """on the validation flights"""
    found_at: int
    """the generation, or update, at which it was offered"""


@dataclass
class Shortlist:
    """The `size` best candidates so far by validation loss."""

    size: int
    """largest number of candidates"""
    candidates: list[Candidate] = field(default_factory=list)
    """the best first; of equal ones, the one that was offered first"""

    @property
    def best(self) -> Candidate:
        """The candidate of the lowest loss; there must be one."""
        return self.candidates[0]

    def offer(self, genes: Tensor, loss: float, now: int) -> bool:
        """Add a candidate where it is good enough, and drop the worst where there are too many.

        Args:
            genes: its genes, (genes,); copied.
            loss: its loss on the validation flights.
            now: the generation or update.

        Returns:
            Whether it is the best so far.
        """
        losses = [candidate.loss for candidate in self.candidates]
        # Not `bisect`: a loss may be NaN, which numpy sorts behind all numbers.
        place = int(np.searchsorted(losses, loss, side="right"))
        if place < self.size:
            self.candidates.insert(place, Candidate(genes.clone(), loss, now))
            del self.candidates[self.size :]
        return place == 0

    def state(self) -> dict[str, Any]:
        """The candidates, for a checkpoint."""
        return {
            "genes": torch.stack([candidate.genes for candidate in self.candidates]),
            "losses": [candidate.loss for candidate in self.candidates],
            "found": [candidate.found_at for candidate in self.candidates],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Replace the candidates by those that `state` gave."""
        rows = zip(saved["genes"], saved["losses"], saved["found"], strict=True)
        self.candidates = [Candidate(genes, loss, found_at) for genes, loss, found_at in rows]
