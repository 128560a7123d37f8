"""RetinaNet of torchvision's on an hourglass, on blood cells.

Anchors are 4, 5 and 6.3 strides wide: 16 to 101 pixels at the strides 4, 8 and 16; most cells are 16 to 116 wide. Meant
for about 20 minutes on 2 CPU cores.

densezoo train configs/detection/retinanet_hourglass_bccd.py --work-dir runs/retinanet
"""

_base_ = "_bccd.py"
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Boxes", num_classes=3))
detector = dict(type="RetinaNet", levels=[0, 1, 2])
optimizer = dict(lr=1e-3)
epochs = 80
engine = dict(eval_every=8)
