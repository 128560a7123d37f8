"""Predicted volumes as files: a mesh for other programs, and a picture."""

from pathlib import Path

import numpy as np

from densezoo.engine.files import write_text
from densezoo.engine.pictures import write_image
from densezoo.functional.affine import apply_affine, mean_scale
from densezoo.functional.surfaces import obj_text, surface_mesh
from densezoo.types import Array, DatasetMeta, Sample
from densezoo.visualization.volumes import render_volume


def write_volume(path: Path, volume: Array, sample: Sample, meta: DatasetMeta) -> None:
    """Write `PATH.obj`, the surface of a volume, and `PATH.png`, the volume from several sides.

    A vertex (x, y, z) of the mesh is the point at pixel (x, -y) of the file, -z pixels deeper than the middle of the
    volume. So y points up and z towards the viewer, as programs that read .obj files have it, and the mesh stands
    upright and is seen from the front. Vertices have the colours of the image, also at the back.

    Args:
        path: without a suffix.
        volume: (D, H, W) probabilities over the sample's pixels.
        sample: what the network saw.
        meta: how thick slices are.

    Raises:
        ConfigError: a file cannot be written.
    """
    thickness = float(meta.volume_slices[1])
    vertices, triangles = surface_mesh(volume)
    height, width = sample["image"].shape[:2]
    columns, rows = (np.clip(vertices[:, axis].astype(int), 0, side - 1) for axis, side in enumerate((width, height)))
    x, y = apply_affine(sample["to_original"], vertices[:, :2]).T
    depth = (vertices[:, 2] - len(volume) / 2) * thickness * mean_scale(sample["to_original"])
    text = obj_text(np.stack([x, -y, -depth], 1), triangles, sample["image"][rows, columns])
    write_text(path.with_name(f"{path.name}.obj"), text)
    picture = render_volume(sample["image"], volume, thickness)
    write_image(path.with_name(f"{path.name}.png"), picture)
