"""Reinforcement learning by stable-baselines3 and RLlib, around any controller."""
