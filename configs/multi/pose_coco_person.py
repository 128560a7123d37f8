"""Associative embedding on people of COCO: everybody at once, from heatmaps and tags of all joints.

Heat is not learned on crowds and on people without labelled joints, by their masks. For the weights see
configs/pose/embedding_hourglass_synthetic.py. This is also the task 'pose' of pose_boxes_masks_coco_person.py in a
network of its own, to see what sharing costs or gains.

densezoo train configs/multi/pose_coco_person.py --work-dir runs/pose
"""

_base_ = "_coco_person.py"
tasks = dict(pose={{_base_._pose}})
