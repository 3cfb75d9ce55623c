"""Run folders: configuration, checkpoints, logs, progress and reports."""
