"""The evolution strategy of the NCAP code (docs/systems/ncap.md, "Algorithms"); `openai_searcher` is its search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from .strategies import Evolve

if TYPE_CHECKING:
    from evotorch import Problem


@dataclass(kw_only=True)
class OpenAIES(Evolve):
    """Mirrored sampling, centred ranks and Adam (Salimans et al. 2017); the defaults are those of the NCAP code."""

    mirrored: ClassVar[bool] = True

    sigma: float = 0.02
    """standard deviation of the noise"""
    rate: float = 0.01
    """Adam's learning rate"""
    decay: float = 0.005
    """L2 coefficient"""

    def check(self) -> None:
        """Standard deviation and rate must be above zero."""
        super().check()
        self.above_zero("sigma", "rate")
        self.at_least(0, "decay")

    def searcher(self, problem: Problem, start: Tensor) -> Any:
        """Make the search, its centre at `start` (parameters,)."""
        from .openai_searcher import Searcher

        return Searcher(
            problem,
            start,
            popsize=self.population,
            sigma=self.sigma,
            rate=self.rate,
            decay=self.decay,
        )

    def state_names(self) -> tuple[str, ...]:
        """Name the centre and the moments of Adam."""
        return ("center", "m", "v")
