"""The task 'boxes' of pose_boxes_masks_synthetic.py in a network of its own, to see what sharing costs or gains.

densezoo train configs/multi/boxes_synthetic.py --work-dir runs/boxes
"""

_base_ = "_synthetic.py"
tasks = dict(boxes={{_base_._boxes}})
