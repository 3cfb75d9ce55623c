"""Controllers of a file that a worker has not imported: quick to import, since every worker does."""

import os

import torch

from lancelet import LanceletError, controllers


class Lever(controllers.Controller):
    """Reads a Dict observation through a random matrix that is no weight."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.gains = torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("mix", torch.rand(2, 2))  # another one in every process
        self.register_buffer("bias", torch.rand(2), persistent=False)

    def forward(self, observation, state):
        return torch.tanh((observation["observation"] @ self.mix + self.bias) @ self.gains)[
            :, None
        ], state


class Doomed(Lever):
    """Takes its process along."""

    def forward(self, observation, state):
        os._exit(1)


class Broken(Lever):
    """Raises what a user can mend."""

    def forward(self, observation, state):
        raise LanceletError("the observation is upside down")


def register_all():
    """Put them in the registry, as a user's file would."""
    for cls in (Lever, Doomed, Broken):
        controllers.register(cls.__name__.lower(), cls)
