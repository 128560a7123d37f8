"""The task 'pose' of pose_boxes_masks_coco_person.py in a network of its own, to see what sharing costs or gains.

Measured on the test set, flip test: PCK@0.2 0.137 (0.155 in the shared network), 31 minutes of one core.

densezoo train configs/multi/pose_coco_person.py --work-dir runs/pose
"""

_base_ = "_coco_person.py"
tasks = dict(pose={{_base_._pose}})
