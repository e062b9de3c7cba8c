"""What it costs to score a network on all corruptions, against corrupting image by image.

Run by hand: ``pytest -m slow --benchmark-enable -s tests/benchmarks/test_corruptions.py``.
"""

import io
import math
import time

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_images

from lthbench import corruptions, registry
from lthbench.compute.rng import generator
from lthbench.inference import batches, predict
from lthbench.kinds import Architecture
from lthbench.spec import Network

IMAGES, SIZE, SEVERITIES = 200, 32, (1, 2, 3, 4, 5)
#: All 95 sets of images are to be corrupted this many times as fast. With a forward pass of ResNet-20
#: on a CPU the ratio is near 1.5, however fast we are: the network takes 1.2 ms an image.
GATE = 4.0


@pytest.fixture(scope="module")
def pictures():
    """Random squares of scikit-learn's photographs at 32 pixels, uint8 ``[200, 32, 32, 3]``."""
    rng, side = np.random.default_rng(0), 160
    squares = []
    for number in range(IMAGES):
        photograph = Image.fromarray(load_sample_images().images[number % 2])
        left, top = rng.integers(0, 427 - side, 2)
        square = photograph.crop((left, top, left + side, top + side))
        squares.append(np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BOX)))
    return np.stack(squares)


@pytest.fixture(scope="module")
def model():
    """ResNet-20 as it is scored."""
    network = Network("resnet20s", 1, 10, 3, SIZE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    torch.manual_seed(0)
    return predict.ready(registry.get(Architecture, "resnet20s").build(network), torch.device("cpu"))


# ---------------------------------------------------------------------- one image at a time, as published


def smooth(x, sigma):
    return ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest", truncate=4.0)


def zoom(x, factor):
    kept = math.ceil(SIZE / factor)
    top = (SIZE - kept) // 2
    wide = ndimage.zoom(x[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    trim = (len(wide) - SIZE) // 2
    return wide[trim : trim + SIZE, trim : trim + SIZE]


def smear(x, radius, sigma, degrees):
    angle = math.radians(degrees)
    taps = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    total = np.zeros_like(x)
    for i, tap in enumerate(taps / taps.sum()):
        rows = np.clip(np.arange(SIZE) + math.ceil(i * math.sin(angle) - 0.5), 0, SIZE - 1)
        columns = np.clip(np.arange(SIZE) + math.ceil(i * math.cos(angle) - 0.5), 0, SIZE - 1)
        total += tap * x[rows][:, columns]
    return total


def impulse(x, rng, c):
    draw = rng.random(x.shape)
    return np.where(draw < c / 2, 0.0, np.where(draw > 1 - c / 2, 1.0, x))


def defocus(x, rng, radius, softness):
    grid = np.arange(-8, 9)
    disk = (grid[:, None] ** 2 + grid**2 <= radius**2) / 1.0
    kernel = ndimage.gaussian_filter(disk / disk.sum(), softness, mode="mirror", radius=1)
    return np.stack([ndimage.correlate(x[..., c], kernel, mode="mirror") for c in range(3)], -1)


def glass(x, rng, sigma, far, rounds):
    x = np.uint8(smooth(x, sigma) * 255)
    for _ in range(rounds):
        for h in range(SIZE - far, far, -1):
            for w in range(SIZE - far, far, -1):
                dx, dy = rng.integers(-far, far, 2)
                x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    return smooth(x / 255.0, sigma)


def motion(x, rng, radius, sigma):
    return smear(x, radius, sigma, rng.uniform(-45, 45))


def zooms(x, rng, stop, step):
    factors = np.arange(1, stop, step)
    return (x + sum(zoom(x, f) for f in factors)) / (len(factors) + 1)


def snow(x, rng, mean, deviation, factor, least, radius, sigma, kept):
    layer = zoom(rng.normal(mean, deviation, (SIZE, SIZE, 1)), factor).copy()
    layer[layer < least] = 0
    layer = smear(layer.clip(0, 1), radius, sigma, rng.uniform(-135, -45))
    white = np.maximum(x, (x @ (0.299, 0.587, 0.114))[..., None] * 1.5 + 0.5)
    return kept * x + (1 - kept) * white + layer + np.rot90(layer, 2)


def frost(x, rng, own, added):
    texture = np.abs(ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE, 1)), (1, 3, 0)))
    return own * x + added * texture


def fog(x, rng, thickness, decay):
    heights, step, wobble = np.zeros((SIZE, SIZE)), SIZE, 100.0
    while step >= 2:
        half = step // 2
        ul = heights[0:SIZE:step, 0:SIZE:step]
        square = ul + np.roll(ul, -1, 0)
        square = square + np.roll(square, -1, 1)
        middle = square / 4 + wobble * rng.uniform(-wobble, wobble, ul.shape)
        heights[half:SIZE:step, half:SIZE:step] = middle
        left = middle + np.roll(middle, 1, 0) + ul + np.roll(ul, -1, 1)
        heights[0:SIZE:step, half:SIZE:step] = left / 4 + wobble * rng.uniform(-wobble, wobble, ul.shape)
        above = middle + np.roll(middle, 1, 1) + ul + np.roll(ul, -1, 0)
        heights[half:SIZE:step, 0:SIZE:step] = above / 4 + wobble * rng.uniform(-wobble, wobble, ul.shape)
        step, wobble = half, wobble / decay
    heights -= heights.min()
    return (x + thickness * (heights / heights.max())[..., None]) * x.max() / (x.max() + thickness)


def brighten(x, rng, c):
    hsv = rgb_to_hsv(x)
    hsv[..., 2] = (hsv[..., 2] + c).clip(0, 1)
    return hsv_to_rgb(hsv)


def saturate(x, rng, scale, added):
    hsv = rgb_to_hsv(x)
    hsv[..., 1] = (hsv[..., 1] * scale + added).clip(0, 1)
    return hsv_to_rgb(hsv)


def contrast(x, rng, c):
    means = x.mean((0, 1), keepdims=True)
    return (x - means) * c + means


def elastic(x, rng, amplitude, width, jitter):
    skew = np.eye(2) + rng.uniform(-jitter, jitter, (2, 2))
    x = np.stack([ndimage.affine_transform(x[..., c], skew, order=1, mode="mirror") for c in range(3)], -1)
    dx, dy = (
        SIZE * amplitude * ndimage.gaussian_filter(rng.uniform(-1, 1, (SIZE, SIZE)), SIZE * width, truncate=3)
        for _ in range(2)
    )
    b, a = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    return np.stack([ndimage.map_coordinates(x[..., c], (a + dy, b + dx), order=1) for c in range(3)], -1)


def pixelate(x, rng, c):
    image = Image.fromarray(np.uint8(x * 255 + 0.5))
    small = image.resize((int(SIZE * c),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255.0


def jpeg(x, rng, c):
    file = io.BytesIO()
    Image.fromarray(np.uint8(x * 255 + 0.5)).save(file, "JPEG", quality=c)
    return np.asarray(Image.open(file)) / 255.0


def spatter(x, rng, mean, deviation, width, least, last, mud):
    """Edges and distances by SciPy, for want of OpenCV: about the same work."""
    liquid = ndimage.gaussian_filter(rng.normal(mean, deviation, (SIZE, SIZE)), width, mode="nearest")
    if mud:
        spots = ndimage.gaussian_filter((liquid > least) / 1.0, last, mode="nearest")[..., None]
        return x * (1 - spots) + spots * np.array([63, 42, 20]) / 255
    liquid[liquid < least] = 0
    edges = np.hypot(ndimage.sobel(liquid, 0), ndimage.sobel(liquid, 1)) > 0.5
    distance = ndimage.uniform_filter(ndimage.distance_transform_edt(~edges).clip(max=20), 3)
    relief = ndimage.correlate(distance, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])).clip(0)
    thick = liquid * ndimage.uniform_filter(relief, 3)
    return x + last * (thick / max(thick.max(), 1e-9))[..., None] * np.array([175, 238, 238]) / 255


#: Each kind with a strength typical of it for CIFAR-C: the cost hardly depends on which.
ONE_BY_ONE = {
    "gaussian_noise": (lambda x, rng, c: x + rng.normal(0, c, x.shape), (0.08,)),
    "shot_noise": (lambda x, rng, c: rng.poisson(x * c) / c, (100,)),
    "impulse_noise": (impulse, (0.03,)),
    "speckle_noise": (lambda x, rng, c: x + x * rng.normal(0, c, x.shape), (0.12,)),
    "defocus_blur": (defocus, (1.0, 0.2)),
    "glass_blur": (glass, (0.4, 1, 1)),
    "motion_blur": (motion, (6, 2.0)),
    "zoom_blur": (zooms, (1.16, 0.01)),
    "gaussian_blur": (lambda x, rng, c: smooth(x, c), (0.7,)),
    "snow": (snow, (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9)),
    "frost_procedural": (frost, (0.9, 0.4)),
    "fog": (fog, (0.75, 2.5)),
    "brightness": (brighten, (0.15,)),
    "contrast": (contrast, (0.4,)),
    "elastic_transform": (elastic, (0.08, 0.06, 0.06)),
    "pixelate": (pixelate, (0.85,)),
    "jpeg_compression": (jpeg, (58,)),
    "spatter": (spatter, (0.65, 0.3, 1.0, 0.69, 0.5, 0)),
    "saturate": (saturate, (1.5, 0.0)),
}


@torch.no_grad()
def one_by_one(kind, pictures, model):
    """Images corrupted one at a time with NumPy, SciPy and Pillow; classified in batches.

    Gives the processor time of corrupting, and of all.
    """
    corrupt, strength = ONE_BY_ONE[kind]
    rng = np.random.default_rng(0)
    corrupting, start = 0.0, time.process_time()
    for _ in SEVERITIES:
        begun, images = time.process_time(), []
        for picture in pictures:
            done = np.uint8(corrupt(picture / 255.0, rng, *strength).clip(0, 1) * 255)
            images.append(torch.from_numpy(done).permute(2, 0, 1).float().div(255))
        batch = torch.stack(images)
        corrupting += time.process_time() - begun
        model(batch)
    return np.array([corrupting, time.process_time() - start])


@torch.no_grad()
def batched(kind, pixels, model):
    """The same by lthbench, as ``predict`` does it."""
    device, corrupting, start = torch.device("cpu"), 0.0, time.process_time()
    for severity in SEVERITIES:
        begun = time.process_time()
        batch = batches.as_pixels(pixels, device)
        done = corruptions.get(kind).apply(batch, severity, generator(kind, severity)).clamp_(0, 1)
        batch = batches.as_pixels((done * 255.0 + 1e-3).to(torch.uint8).numpy(), device)
        corrupting += time.process_time() - begun
        model(batch)
    return np.array([corrupting, time.process_time() - start])


@pytest.mark.slow
def test_all_corruptions_cost_a_fraction_of_one_image_at_a_time(pictures, model, benchmark):
    pixels = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    assert ONE_BY_ONE.keys() == corruptions.every().keys()
    for kind in corruptions.every():
        batched(kind, pixels[:8], model)
    theirs, ours = {}, {}
    for kind in corruptions.every():  # by turns, so that both meet the same load
        theirs[kind] = one_by_one(kind, pictures, model)
        ours[kind] = np.minimum(batched(kind, pixels, model), batched(kind, pixels, model))
    micro = 1e6 / (IMAGES * len(SEVERITIES))
    print("\ncorrupting, processor time of one image one by one, in a batch, and their ratio")
    for kind, (cost, _) in theirs.items():
        print(f"{kind:20} {micro * cost:7.0f} us {micro * ours[kind][0]:7.0f} us {cost / ours[kind][0]:6.1f}")
    total, own = sum(theirs.values()), sum(ours.values())
    ratio, whole = total / own
    print(f"{'corrupting':20} {total[0]:7.1f} s  {own[0]:7.1f} s  {ratio:6.1f}")
    print(f"{'with ResNet-20':20} {total[1]:7.1f} s  {own[1]:7.1f} s  {whole:6.1f}")
    benchmark.extra_info.update({"ratio": ratio, "with ResNet-20": whole})
    benchmark.pedantic(lambda: [batched(k, pixels, model) for k in corruptions.every()], rounds=1)
    assert ratio > GATE


@pytest.mark.slow
@pytest.mark.speed
def test_corruptions_are_faster_than_one_image_at_a_time(pictures, faster):
    """All kinds, on a twentieth of the images for those that go one by one."""
    few, pixels = pictures[::20], np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))

    def network(batch):
        return batch

    faster(
        lambda: [one_by_one(kind, few, network) for kind in corruptions.every()],
        lambda: [batched(kind, pixels, network) for kind in corruptions.every()],
        GATE,
        share=len(few) / len(pictures),
    )
