"""Recordings of EMG, how they are split, and what fits decoders to them: begin with `recordings`."""
