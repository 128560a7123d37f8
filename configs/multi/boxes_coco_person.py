"""The task 'boxes' of pose_boxes_masks_coco_person.py in a network of its own, to see what sharing costs or gains.

densezoo train configs/multi/boxes_coco_person.py --work-dir runs/boxes
"""

_base_ = "_coco_person.py"
tasks = dict(boxes={{_base_._boxes}})
