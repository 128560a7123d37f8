"""PCKh: PCK in lengths of the head (Andriluka et al., CVPR 2014, http://human-pose.mpi-inf.mpg.de).

MPII's head length is 0.6 times the diagonal of the annotated head box; the reader gives it as `head_sizes`. Published
numbers disagree about pelvis and thorax: the benchmark has no such columns and most toolboxes leave them out of the
mean, while the PyTorch port of the stacked hourglass (princeton-vl) counts them. `joints` chooses.
"""

from collections.abc import Sequence

from densezoo.errors import ConfigError
from densezoo.metrics.pck import PCK
from densezoo.registry import METRICS
from densezoo.types import DatasetMeta

_TRUNK = ("pelvis", "thorax")


@METRICS.register()
class PCKh(PCK):
    """Share of joints within a threshold of head lengths; scores are named `PCKh@0.5`, `PCKh_AUC` and so on.

    Args:
        meta: names the joints.
        threshold: distance in head lengths up to which a joint is correct.
        joints: the joints in the means: `"limbs"` is every joint but pelvis and thorax, `"all"` is every joint; or a
            list of names.
        visible_only: leave hidden joints (visibility 1) out.

    Raises:
        ConfigError: no keypoints, an unknown joint, or a threshold that is not positive.
    """

    def __init__(
        self,
        meta: DatasetMeta,
        threshold: float = 0.5,
        joints: str | Sequence[str] = "limbs",
        visible_only: bool = False,
    ) -> None:
        """Make an empty metric."""
        if isinstance(joints, str):
            if joints not in ("limbs", "all"):
                raise ConfigError(f"PCKh: joints must be 'limbs', 'all' or a list of keypoint names, not {joints!r}")
            left_out = _TRUNK if joints == "limbs" else ()
            joints = [name for name in meta.keypoint_names if name not in left_out]
        super().__init__(meta, normalizer="head", threshold=threshold, joints=joints, visible_only=visible_only)
