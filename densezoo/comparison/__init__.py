"""Studies: the same training with one thing swapped, often enough and paired, and what can be concluded from it."""
