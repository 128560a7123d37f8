"""Objects as points on blood cells. Two configs that differ in one line, the neck: an hourglass or a feature pyramid.

Meant for about 20 minutes on 2 CPU cores.

densezoo train configs/detection/centers_hourglass_bccd.py --work-dir runs/centers_hourglass
densezoo train configs/detection/centers_fpn_bccd.py --work-dir runs/centers_fpn
"""

_base_ = "_bccd.py"
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Centers", num_classes=3, head=dict(type="Center", channels=64)))
epochs = 200
engine = dict(eval_every=20)
