"""The study of EMG gestures that steer the assistive robot; `study` is its table."""
