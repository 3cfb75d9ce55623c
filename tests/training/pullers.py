"""Controllers that pull the bead of `doubles/Reach-v0` to its goal, for the tests of trainers."""

import torch

from lancelet import controllers


class Spring(controllers.Controller):
    """Pulls to the goal, damped: three gains, no bounds on what it asks for."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.gains = torch.nn.Parameter(torch.zeros(3))

    def forward(self, observation, state):
        away = observation["desired_goal"] - observation["achieved_goal"]
        speed = observation["observation"][:, 1:]
        return self.gains[0] * away + self.gains[1] * speed + self.gains[2], state


class Follower(controllers.Controller):
    """A Dict in, a dict of a trace and an integer as state."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.gain = torch.nn.Parameter(torch.tensor(0.1))

    def initial_state(self, batch):
        return {"trace": torch.zeros(batch, 1), "count": [torch.zeros(batch, dtype=torch.int64)]}

    def forward(self, observation, state):
        trace = 0.5 * state["trace"] + observation["desired_goal"] - observation["achieved_goal"]
        # In another order than the first state's: a checkpoint must not depend on it.
        return self.gain * trace, {"count": [state["count"][0] + 1], "trace": trace}


def register_all():
    """Put them in the registry, as a user's file would."""
    for cls in (Spring, Follower):
        controllers.register(cls.__name__.lower(), cls)
