"""Search over the options of a training with Ray Tune."""
