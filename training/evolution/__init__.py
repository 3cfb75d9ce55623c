"""Evolution of a controller's weights with EvoTorch, in this process or on Ray workers."""
