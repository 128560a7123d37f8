"""The task 'segmentation' of pose_boxes_masks_synthetic.py in a network of its own, to see what sharing costs or gains.

densezoo train configs/multi/masks_synthetic.py --work-dir runs/segmentation
"""

_base_ = "_synthetic.py"
tasks = dict(segmentation={{_base_._segmentation}})
