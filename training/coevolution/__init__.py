"""Bodies and controllers evolved together: the driver, its database, what an individual is worth, and who breeds."""
