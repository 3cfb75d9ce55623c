"""The table of algorithms: names of commands and configurations, and where each class is.

A class is imported when it is asked for, so that a command waits only for the libraries of its own algorithm.
"""

from __future__ import annotations

from ..registry import Registry

algorithms = Registry("algorithm")
"""name -> subclass of `Trainer`"""
register = algorithms.register
"""register(name, class or "module:Class")"""

# Evolution strategies.
register("snes", "lancelet.training.evolution.strategies:SNES")
register("pgpe", "lancelet.training.evolution.strategies:PGPE")
register("cma-es", "lancelet.training.evolution.strategies:CMAES")
register("openai-es", "lancelet.training.evolution.openai_es:OpenAIES")
# Reinforcement learning.
register("ppo", "lancelet.training.reinforcement.ppo:PPO")
register("ddpg", "lancelet.training.reinforcement.off_policy:DDPG")
register("td3", "lancelet.training.reinforcement.off_policy:TD3")
register("sac", "lancelet.training.reinforcement.off_policy:SAC")
register("rllib", "lancelet.training.reinforcement.rllib:RLlib")
# For the bilateral arm, for the blimp, for a task with a differentiable twin.
register("routed-es", "lancelet.training.twins.routed_es:RoutedES")
register("imitate", "lancelet.training.imitation.imitate:Imitate")
register("surrogate", "lancelet.training.imitation.surrogate:Surrogate")
register("backprop", "lancelet.training.twins.backprop:Backprop")
# For controllers with a state.
register("recurrent-ppo", "lancelet.training.reinforcement.recurrent_ppo:RecurrentPPO")
