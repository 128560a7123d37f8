"""CornerNet with one stack (Hourglass-52) on COCO: all else as in cornernet_hourglass104_coco.py.

    densezoo train configs/detection/cornernet_hourglass52_coco.py --work-dir runs/cornernet52

100 million parameters. Nobody has run this config yet: the data set and GPUs are needed. Duan et al. 2019, "CenterNet:
Keypoint Triplets for Object Detection" (https://arxiv.org/abs/1904.08189), report 37.8 AP on test-dev at one scale.
"""

_base_ = "cornernet_hourglass104_coco.py"
neck = dict(num_stages=1)
