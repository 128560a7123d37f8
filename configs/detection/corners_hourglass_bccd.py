"""CornerNet on blood cells. Two configs that differ in one line, the neck: one hourglass, or a feature pyramid network.

Measured on 2 cores of an Intel Xeon (AMX bf16): 15 minutes of training, test AP50 0.788 with the hourglass and 0.756
with the pyramid, flip test, which the 72 test images cannot tell apart. Without corner pooling, as in the paper's
ablation: `--cfg-options tasks.boxes.head.pooling=False`.

densezoo train configs/detection/corners_hourglass_bccd.py --work-dir runs/corners_hourglass
densezoo train configs/detection/corners_fpn_bccd.py --work-dir runs/corners_fpn
"""

_base_ = "_bccd.py"
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Corners", num_classes=3, head=dict(type="Corner", channels=64, pool_channels=32)))
epochs = 100
engine = dict(eval_every=10)
