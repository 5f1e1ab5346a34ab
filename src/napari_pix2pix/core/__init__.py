"""The headless API: pairs of frames in, models, predictions, patch scores and figures out. No Qt, no napari.

Names are imported when they are first used, so that reading a config does not import torch.
"""

import os

import lazy_loader

# libgomp's busy waiting makes torch on the CPU 3-15 times slower as soon as anything else uses a core. It reads these
# when torch is imported, which happens below this line in every process that comes through here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
