"""CornerNet on blood cells. Two configs that differ in one line, the neck: one hourglass, or a feature pyramid network.

Meant for about 20 minutes on 2 CPU cores. Without corner pooling, as in the paper's ablation: `--cfg-options
tasks.boxes.head.pooling=False`.

densezoo train configs/detection/corners_hourglass_bccd.py --work-dir runs/corners_hourglass
densezoo train configs/detection/corners_fpn_bccd.py --work-dir runs/corners_fpn
"""

_base_ = "_bccd.py"
neck = dict(type="FPN", num_levels=5, channels=64, norm="batch", activation="relu")
tasks = dict(boxes=dict(type="Corners", num_classes=3, head=dict(type="Corner", channels=64, pool_channels=32)))
epochs = 100
engine = dict(eval_every=10)
