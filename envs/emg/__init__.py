"""High-density EMG of a forearm, made by a model: begin with `forearm`, then `stream`."""
