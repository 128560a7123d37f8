"""Pictures for people: overlays on images, heatmaps, training curves. Nothing here is needed to compute a score."""
