"""Differentiable twins: the equations of a MuJoCo task in torch, batched, to train through."""
