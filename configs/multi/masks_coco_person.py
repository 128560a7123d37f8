"""The task 'segmentation' of pose_boxes_masks_coco_person.py in a network of its own, to see what sharing costs.

Measured on the test set, flip test: mIoU 0.691 (0.707 in the shared network), 23 minutes of one core.

densezoo train configs/multi/masks_coco_person.py --work-dir runs/segmentation
"""

_base_ = "_coco_person.py"
tasks = dict(segmentation={{_base_._segmentation}})
