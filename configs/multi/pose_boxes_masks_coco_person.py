"""One network for the joints, the boxes and the masks of people, on a COCO subset (`tools/make_coco_person.py`).

Each of pose_coco_person.py, boxes_coco_person.py and masks_coco_person.py learns one of them, and differs in its task.
Their losses are about 20, 10 and 1 for most of a training; weighted by the inverse, each counts alike here.

Measured on the test set, flip test: PCK@0.2 0.155, box AP 0.104, mIoU 0.707, 66 minutes of one core.

densezoo train configs/multi/pose_boxes_masks_coco_person.py --work-dir runs/shared
"""

_base_ = "_coco_person.py"
tasks = dict(pose={{_base_._pose}}, boxes={{_base_._boxes}}, segmentation={{_base_._segmentation}})
loss_weights = dict(pose=0.05, boxes=0.1, segmentation=1.0)
