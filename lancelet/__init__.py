"""Lancelet: bodies in MuJoCo, circuits from neuroscience, and the optimisers that shape both.

Importing this package registers the Gymnasium ids by name only: no MuJoCo, no torch, no GL is loaded.
"""

from __future__ import annotations

from ._version import __version__
from .errors import LanceletError
from .tasks import register, registered, task_id

__all__ = ["LanceletError", "__version__", "register", "registered", "task_id"]

register("lancelet/Swim-v0", "lancelet.envs.swim:Swim", max_episode_steps=1000)
register("lancelet/SwimNavigate-v0", "lancelet.envs.swim:SwimNavigate", max_episode_steps=1000)
register("lancelet/BlimpAltitude-v0", "lancelet.envs.blimp:BlimpAltitude", max_episode_steps=700)
register("lancelet/PointMaze-v0", "lancelet.envs.maze:PointMaze", max_episode_steps=10_000)
register("lancelet/ArmReach-v0", "lancelet.envs.arm:ArmReach", max_episode_steps=50)
register("lancelet/Crawl-v0", "lancelet.envs.crawl:Crawl", max_episode_steps=400)
register("lancelet/ArmHold-v0", "lancelet.envs.arm:ArmHold", max_episode_steps=50)
register("lancelet/Phototaxis-v0", "lancelet.envs.phototaxis:Phototaxis", max_episode_steps=2500)
register(
    "lancelet/AssistReach-v0", "lancelet.envs.assist.reach:AssistReach", max_episode_steps=3600
)
register(
    "lancelet/AssistScratch-v0",
    "lancelet.envs.assist.scratch:AssistScratch",
    max_episode_steps=3600,
)
register("lancelet/AssistFeed-v0", "lancelet.envs.assist.feed:AssistFeed", max_episode_steps=3600)
register(
    "lancelet/AssistDrink-v0", "lancelet.envs.assist.drink:AssistDrink", max_episode_steps=3600
)
register("lancelet/AssistWipe-v0", "lancelet.envs.assist.wipe:AssistWipe", max_episode_steps=4800)
register(
    "lancelet/AssistFetch-v0", "lancelet.envs.assist.fetch:AssistFetch", max_episode_steps=6000
)
register(
    "lancelet/AssistDrawer-v0", "lancelet.envs.assist.drawer:AssistDrawer", max_episode_steps=3600
)
