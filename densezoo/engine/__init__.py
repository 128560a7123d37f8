"""Training and evaluation loops, checkpoints, processes and logs, on torch's own parts."""
