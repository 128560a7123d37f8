"""CornerNet on the people of a COCO subset: two small hourglasses and the corner head of corners_hourglass_bccd.py.

Meant for about half an hour on 2 CPU cores.

densezoo train configs/detection/corners_hourglass_coco_person.py --work-dir runs/corners_person
"""

_base_ = "_coco_person.py"
tasks = dict(boxes=dict(type="Corners", num_classes=1, head=dict(type="Corner", channels=64, pool_channels=32)))
epochs = 26
engine = dict(eval_every=13)
