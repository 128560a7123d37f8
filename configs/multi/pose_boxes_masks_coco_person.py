"""One network for the joints, the boxes and the masks of people, on a COCO subset (`tools/make_coco_person.py`).

Each of pose_coco_person.py, boxes_coco_person.py and masks_coco_person.py learns one of them, and differs in one line.

densezoo train configs/multi/pose_boxes_masks_coco_person.py --work-dir runs/shared
"""

_base_ = "_coco_person.py"
tasks = dict(pose={{_base_._pose}}, boxes={{_base_._boxes}}, segmentation={{_base_._segmentation}})
