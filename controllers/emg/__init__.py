"""Decoders of gestures from high-density EMG: begin with `decoder`."""
