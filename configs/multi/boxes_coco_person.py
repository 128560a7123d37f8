"""The task 'boxes' of pose_boxes_masks_coco_person.py in a network of its own, to see what sharing costs or gains.

Measured on the test set, flip test: AP 0.108 (0.104 in the shared network), 44 minutes of one core.

densezoo train configs/multi/boxes_coco_person.py --work-dir runs/boxes
"""

_base_ = "_coco_person.py"
tasks = dict(boxes={{_base_._boxes}})
