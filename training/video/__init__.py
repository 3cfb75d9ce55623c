"""A run's episode as a video, a gif or a picture."""
