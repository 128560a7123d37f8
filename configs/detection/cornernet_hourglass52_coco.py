"""CornerNet with one stack (Hourglass-52) on COCO, with the recipe of the paper (Law and Deng 2018).

    densezoo train configs/detection/cornernet_hourglass52_coco.py --work-dir runs/cornernet

Data: `data/coco/annotations/instances_{train,val}2017.json` and `data/coco/{train,val}2017/`. Published: 500,000 steps
of 49 images, the learning rate divided by 10 after 450,000; at 118,287 images that is 207 and 186 epochs. 100
million parameters, on ten GPUs there. Deviations:

- Crops are drawn of the letterboxed image, the content 0.96 to 2.08 times as large as in it. Published: of 0.6 to 1.3
  times 511 pixels of the file, which comes to the same for its common 640 × 480, about a point 128 pixels inside.
- Colour: a factor per channel and contrast, each 0.4. Published: brightness, contrast and saturation, each 0.4, in
  random order, and noise along the colours' principal axes.
- Embeddings weigh 0.01 and not 0.1, since their losses are added over all 49 images, and published ones over the 5 of a
  GPU, whose mean is taken. Heat and offsets are divided by the objects of the whole batch, not of each GPU.
- Tested letterboxed to 511 × 511, with the mirrored image. Published: at the file's own size.

Nobody has run this config yet: the data set and GPUs are needed. Published: 37.8 AP on test-dev at one scale.
"""

encoder = dict(
    type="CornerNetStem",
    channels=256,
    mean=(0.47026115, 0.44719302, 0.40789654),
    std=(0.27809835, 0.27408164, 0.28863828),
)
neck = dict(
    type="StackedHourglass",
    num_stages=1,
    num_levels=6,
    channels=[256, 256, 384, 384, 384, 512],
    block="basic",
    blocks=[2, 2, 2, 2, 2, 4],
)
tasks = dict(
    corners=dict(
        type="Corners",
        num_classes=80,
        rules="published",
        cells="image",
        pull_weight=0.01,
        push_weight=0.01,
        head=dict(type="Corner", channels=256, pool_channels=128),
    )
)
warp = dict(size=(511, 511), padding=1.0, scale=(0.96, 2.08), shift=0.4, flip=0.5, border=(0, 0, 0))
photometric = dict(gain=0.4, contrast=0.4)
_set = dict(type="CocoScenes")
train_data = dict(**_set, annotations="coco/annotations/instances_train2017.json", images="coco/train2017")
val_data = dict(**_set, annotations="coco/annotations/instances_val2017.json", images="coco/val2017")
test_data = dict(**_set, annotations="coco/annotations/instances_val2017.json", images="coco/val2017")
optimizer = dict(type="adam", lr=2.5e-4)
schedule = dict(type="multistep", decay_milestones=[186], decay_rate=0.1)
epochs = 207
batch_size = 49
engine = dict(amp=True, flip_test=True, eval_every=10)
