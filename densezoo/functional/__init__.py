"""Pure functions on arrays and tensors: geometry, heatmaps, losses, grouping. Nothing here keeps state."""
