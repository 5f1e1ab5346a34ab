"""Other tools beside this one: same images, same machine, same minutes, one judge. A JSON line each, then a table.

    python benchmarks/peers.py [--data ../shared/data] [--minutes 15] [--seeds 3] [--only dsb2018 translocation_sbs]
        [--peers ours textbook stardist care] [--environments FOLDER] [--crops N]

dsb2018
    Nuclei, one id each, 479 images to learn from, 57 to test: StarDist in its default configuration for 2-D (Schmidt et
    al., MICCAI 2018), from scratch; the textbook's pix2pix of `benchmarks/training.py`, whose fakes of the foreground
    are cut at the middle and numbered by connected parts. All see the mean over the channels, as StarDist's default.
translocation_sbs
    GFP to DNA, wells of rows A and E to learn from, those of F to test: CARE of CSBDeep (Weigert et al., Nature Methods
    2018), the textbook's pix2pix.

Each peer has a virtual environment of its own under `--environments`, which is installed at the first run; one that
cannot be is left out with a word. It is told a folder of images to learn from, one to predict, and for how many minutes
its weights may learn; loading, thresholds and predictions come on top, for all (`seconds` has all of it). What it wrote
is judged by `napari-pix2pix evaluate --prediction`. `--crops` learns from and tests so few images, cut to 256 px: to
see that all works.
"""

import os

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # before torch is imported

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from imageio.v3 import imread

PACKAGES = {"stardist": ["stardist", "tensorflow-cpu"], "care": ["csbdeep", "tensorflow-cpu"]}
"""What a peer is installed from; the others are in this environment."""
INSTALLING_S = 600
OF_LABELS = {"dsb2018": True, "translocation_sbs": False}
PEERS = {"dsb2018": ("ours", "textbook", "stardist"), "translocation_sbs": ("ours", "textbook", "care")}
SHOWN = {"dsb2018": ("dice", "object_f1_iou50"), "translocation_sbs": ("pearson", "mae")}

COMMON = """
import sys, time, pathlib, numpy as np, tifffile
learn, test, out, minutes, seed = *map(pathlib.Path, sys.argv[1:4]), float(sys.argv[4]), int(sys.argv[5])
pairs = [(tifffile.imread(path), tifffile.imread(learn / "target" / path.name)) for path in
         sorted((learn / "source").iterdir())]
asked = {path.name: tifffile.imread(path) for path in sorted(test.iterdir())}
np.random.seed(seed)
"""
KERAS = (
    COMMON
    + """
import tensorflow as tf
from csbdeep.utils import normalize
tf.random.set_seed(seed)

class Clock(tf.keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.until = time.monotonic() + 60 * minutes
    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() > self.until:
            self.model.stop_training = True

order = np.random.permutation(len(pairs))
held = max(1, len(pairs) // 10)
"""
)
SCRIPTS = {
    "stardist": KERAS
    + """
from stardist.models import Config2D, StarDist2D
x, y = [normalize(source, 1, 99.8) for source, _ in pairs], [target.astype(np.int32) for _, target in pairs]
sides = [([x[i] for i in some], [y[i] for i in some]) for some in (order[held:], order[:held])]

def turned(x, y):  # as in StarDist's example of 2-D training
    k, mirrored = np.random.randint(4), np.random.rand() < 0.5
    x, y = (np.rot90(image, k) for image in (x, y))
    x, y = (image[:, ::-1] if mirrored else image for image in (x, y))
    return x * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2), y

model = StarDist2D(Config2D(n_channel_in=1, train_patch_size=(128, 128), train_tensorboard=False), "model", str(out))
model.prepare_for_training()
model.callbacks.append(Clock())
model.train(*sides[0], validation_data=sides[1], augmenter=turned, epochs=100000, steps_per_epoch=50)
model.optimize_thresholds(*sides[1])
for name, source in asked.items():
    tifffile.imwrite(out / name, model.predict_instances(normalize(source, 1, 99.8))[0].astype(np.uint16))
""",
    "care": KERAS
    + """
from csbdeep.models import CARE, Config
x, y = (np.stack([side[i] for side in pairs]).astype(np.float32) for i in range(2))
low, high = (np.percentile(x, q) for q in (1, 99.8))
ends = [np.percentile(y, q) for q in (0, 99.9)]

def patches(some, n):
    found = []
    for _ in range(n):
        i, (a, b) = np.random.choice(some), (np.random.randint(side - 127) for side in x.shape[1:])
        found.append([(x[i, a : a + 128, b : b + 128] - low) / (high - low),
                      (y[i, a : a + 128, b : b + 128] - ends[0]) / (ends[1] - ends[0])])
    return [np.stack(side)[..., None] for side in zip(*found)]

config = Config("YXC", 1, 1, train_epochs=100000, train_steps_per_epoch=50, train_tensorboard=False)
model = CARE(config, "model", str(out))
model.prepare_for_training()
model.callbacks.append(Clock())
model.train(*patches(order[held:], 60 * len(order)), validation_data=patches(order[:held], 64))
for name, source in asked.items():
    made = model.predict(((source - low) / (high - low)).astype(np.float32), "YX", normalizer=None)
    made = np.clip(made * (ends[1] - ends[0]) + ends[0], 0, 255)
    tifffile.imwrite(out / name, np.round(made).astype(np.uint8))
""",
    "textbook": COMMON
    + """
import torch
from scipy import ndimage
sys.path.insert(0, sys.argv[6])
from training import textbook
torch.manual_seed(seed)
labels = pairs[0][1].dtype == np.uint16
x, y = [2 * s.astype(np.float32) / 255 - 1 for s, _ in pairs], [t.astype(np.float32) for _, t in pairs]
y = [2 * (t > 0).astype(np.float32) - 1 if labels else t / 127.5 - 1 for t in y]
step, random = textbook("fast", torch.device("cpu")), np.random.default_rng(seed)
generator = next(cell.cell_contents for cell in step.__closure__ if "UNet" in type(cell.cell_contents).__name__)
until = time.monotonic() + 60 * minutes
while time.monotonic() < until:
    found = []
    for i in random.integers(len(x), size=4):
        a, b = (random.integers(side - 127) for side in x[i].shape)
        found.append([np.broadcast_to(side[i][a : a + 128, b : b + 128], (3, 128, 128)) for side in (x, y)])
    step(*(torch.from_numpy(np.stack(side)) for side in zip(*found)))
with torch.inference_mode():
    for name, source in asked.items():
        height, width = source.shape
        padded = np.pad(2 * source.astype(np.float32) / 255 - 1, [(0, -n % 16) for n in source.shape], "symmetric")
        made = generator(torch.from_numpy(padded)[None, None].expand(1, 3, -1, -1))[0].mean(0).numpy()[:height, :width]
        made = ndimage.label(made > 0)[0].astype(np.uint16) if labels else np.round(127.5 * (made + 1)).astype(np.uint8)
        tifffile.imwrite(out / name, made)
""",
}


def written(name: str, data: Path, folder: Path, crops: int | None) -> None:
    """Pairs to learn from and to test as TIFF files, the same for all; if `crops`, so many, of 256 px at most."""
    if name == "dsb2018":
        parts = [(part, data / name / part / "image", data / name / part / "label") for part in ("train", "validation")]
        found = [(part, path, label / f"{path.stem}.tif") for part, image, label in parts for path in image.iterdir()]
    else:
        paths = (data / name / "fkhr_gfp").iterdir()
        found = [("validation" if p.stem[0] == "F" else "train", p, data / name / "dna" / p.name) for p in paths]
    for part, to in (("train", "learn"), ("validation", "test")):
        for _, source, target in sorted(one for one in found if one[0] == part)[:crops]:
            x, y = imread(source), imread(target)
            x = np.round(x[..., :3].mean(axis=-1)).astype(np.uint8) if x.ndim == 3 else x
            for side, values in (("source", x), ("target", y.astype(np.uint16) if OF_LABELS[name] else y)):
                path = folder / to / side / f"{source.stem}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, values[:256, :256] if crops else values)


def installed(peer: str, environments: Path) -> Path:
    """The Python of the peer's environment.

    Raises
    ------
    OSError
        If it cannot be installed.
    """
    own = environments / peer
    python = own / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (own / "installed").is_file():
        subprocess.run([sys.executable, "-m", "venv", own], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *PACKAGES[peer]]
        try:
            subprocess.run(install, check=True, timeout=INSTALLING_S, capture_output=True, text=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise OSError(f"{peer} could not be installed: {(error.stderr or str(error))[-200:]!s}") from error
        (own / "installed").touch()
    return python


def ours(name: str, work: Path, minutes: float, seed: int) -> None:
    """Train and predict by the command line."""
    kind = "instances" if OF_LABELS[name] else "intensity"
    command = [sys.executable, "-m", "napari_pix2pix"]
    learn = ["train", work / "learn" / "source", work / "learn" / "target", "--out", work / "run", "--preset", "fast"]
    learn += ["--target-kind", kind, "--trust-steps", "0", "--minutes", minutes, "--seed", seed]
    learn += ["--empty-frames", "empty", "--intensity-jitter", "0.2"] if OF_LABELS[name] else []
    for words in (learn, ["predict", work / "run", work / "test" / "source", "--out", work / "out", "--overwrite"]):
        subprocess.run([*command, *map(str, words)], check=True, capture_output=True, text=True)


def row_of(peer: str, name: str, args: argparse.Namespace, seed: int) -> dict[str, object]:
    """What came of one peer on one set."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        written(name, args.data, work, args.crops)
        (work / "out").mkdir()
        python = installed(peer, args.environments) if peer in PACKAGES else Path(sys.executable)
        began = time.monotonic()
        if peer == "ours":
            ours(name, work, args.minutes, seed)
        else:
            given = [work / "learn", work / "test" / "source", work / "out", args.minutes, seed, Path(__file__).parent]
            words = [str(word) for word in (python, "-c", SCRIPTS[peer], *given)]
            subprocess.run(words, check=True, capture_output=True, text=True)
        seconds = round(time.monotonic() - began)
        judged = work / "judged"
        (work / "made").mkdir()
        for path in (work / "out").glob("*.tif"):
            path.rename(work / "made" / path.name)
        words = ["evaluate", "--prediction", work / "made", work / "test" / "target", "--out", judged]
        words += ["--target-kind", "instances" if OF_LABELS[name] else "intensity"]
        subprocess.run([sys.executable, "-m", "napari_pix2pix", *map(str, words)], check=True, capture_output=True)
        metrics = json.loads((judged / "metrics.json").read_text())["metrics"]
    return {"set": name, "peer": peer, "seed": seed, "minutes": args.minutes, "seconds": seconds} | {
        metric: round(metrics[metric]["value"], 4) for metric in SHOWN[name]
    }


def table(rows: list[dict[str, object]]) -> str:
    """Mean ± standard deviation over the seeds."""
    lines = ["| set | peer | seconds | figures |", "|---|---|---|---|"]
    for name, peer in dict.fromkeys((row["set"], row["peer"]) for row in rows):
        own = [row for row in rows if (row["set"], row["peer"]) == (name, peer)]
        told = []
        for metric in SHOWN[str(name)]:
            values = [float(str(row[metric])) for row in own]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            told.append(f"{metric} {statistics.mean(values):.3f}{spread}")
        seconds = statistics.median(int(str(row["seconds"])) for row in own)
        lines.append(f"| {name} | {peer} | {seconds:.0f} | {', '.join(told)} |")
    return "\n".join(lines)


def main() -> None:
    """Each peer on each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    known = sorted({peer for peers in PEERS.values() for peer in peers})
    parser.add_argument("--peers", nargs="+", choices=known, default=known)
    parser.add_argument("--environments", type=Path, default=Path(".peers"))
    parser.add_argument("--crops", type=int)
    args = parser.parse_args()
    args.environments = args.environments.resolve()
    rows = []
    for name in args.only:
        for peer in PEERS[name]:
            for seed in range(args.seeds if peer in args.peers else 0):
                try:
                    rows.append(row_of(peer, name, args, seed))
                except (OSError, subprocess.CalledProcessError) as error:
                    why = getattr(error, "stderr", None) or str(error)
                    why = why.decode(errors="replace") if isinstance(why, bytes) else why
                    lines = why.strip().splitlines() or [type(error).__name__]
                    named = [line for line in lines if "Error" in line and not line.startswith("W0000")]
                    told = {"set": name, "peer": peer, "left_out": (named or lines)[-1][-300:]}
                    print(json.dumps(told), flush=True)
                    break
                print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
