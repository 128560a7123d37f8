"""U-Net as in 2015, whole, on the embedded data set of drawn people and shapes.

Ronneberger, Fischer, Brox, https://arxiv.org/abs/1505.04597: convolutions without padding and without normalisation,
elastic deformation, mirrored borders, weights for the background between neighbouring objects, momentum of 0.99 with
one tile a step, and overlap-tile inference on images of any size. Deviations: colour in place of grey, and tiles of
316², of which 132² are answered, since the images have 256² pixels; the paper's are 572² and 388². No dropout.

Meant for a GPU: at its full width one core learns from one tile a second, of which the config has 40,000. With
`encoder.channels=16 epochs=4` it takes 14 minutes of one core and tells people from the ground, and not yet the shapes:
IoU of people 0.536, mIoU 0.226 on the test split with flip test.

densezoo train configs/segmentation/unet_2015_synthetic.py --work-dir runs/unet_2015 --amp
densezoo test configs/segmentation/unet_2015_synthetic.py runs/unet_2015/checkpoints/best.pt --baseline
densezoo predict configs/segmentation/unet_2015_synthetic.py runs/unet_2015/checkpoints/best.pt photos/ --out out/
"""

encoder = dict(type="PlainUNet", padding="valid", norm="none")
neck = dict(type="UNet", upsample="transposed", align="crop", norm="none")
tasks = dict(segmentation=dict(type="Segmentation", num_classes=6, border_weight=dict(w0=10, sigma=5)))
warp = dict(
    size=None,  # the file's own pixels
    padding=1.0,
    crop=(316, 316),
    crop_margin=92,  # what the convolutions lose on each side
    border="reflect",
    flip=0.5,
    elastic=dict(grid=3, sigma=10),
)
photometric = dict(gain=0.2)
_set = dict(type="Synthetic", view="scenes", masks=True, semantic=True, size=256, max_people=3)
train_data = dict(**_set, split="train", num_images=2000)
val_data = dict(**_set, split="val", num_images=200)
test_data = dict(**_set, split="test", num_images=400)
optimizer = dict(type="momentum", lr=1e-3, momentum=0.99)
schedule = dict(type="one_cycle")
epochs = 20
batch_size = 1
engine = dict(window=(316, 316), eval_every=5)
