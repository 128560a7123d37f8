"""The task 'pose' of pose_boxes_masks_synthetic.py in a network of its own, to see what sharing costs or gains.

densezoo train configs/multi/pose_synthetic.py --work-dir runs/pose
"""

_base_ = "_synthetic.py"
tasks = dict(pose={{_base_._pose}})
