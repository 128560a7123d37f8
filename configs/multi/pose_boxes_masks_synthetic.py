"""One small hourglass for three tasks on the embedded data set: people's joints, boxes of objects, and a label map.

Each of pose_synthetic.py, boxes_synthetic.py and masks_synthetic.py learns one of them, and differs in one line.

densezoo train configs/multi/pose_boxes_masks_synthetic.py --work-dir runs/shared
densezoo train configs/multi/pose_synthetic.py --work-dir runs/pose
"""

_base_ = "_synthetic.py"
tasks = dict(pose={{_base_._pose}}, boxes={{_base_._boxes}}, segmentation={{_base_._segmentation}})
