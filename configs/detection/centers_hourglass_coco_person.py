"""Objects as points on the people of a COCO subset: two small hourglasses and the head of centers_hourglass_bccd.py.

Measured on 2 cores of an Intel Xeon (AMX bf16): 23 minutes of training, test AP 0.075, AP50 0.241 with flip test.

densezoo train configs/detection/centers_hourglass_coco_person.py --work-dir runs/centers_person
"""

_base_ = "_coco_person.py"
tasks = dict(boxes=dict(type="Centers", num_classes=1, head=dict(type="Center", channels=64)))
epochs = 40
engine = dict(eval_every=20)
