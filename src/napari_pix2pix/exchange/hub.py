"""A folder that a stranger can use: the model as it is, and a model card as the Hugging Face Hub reads it."""

import json
import shutil
from pathlib import Path

from napari_pix2pix.core.engine.atomic import written_beside
from napari_pix2pix.exchange.page import PROJECT, Page
from napari_pix2pix.exchange.sample import Sample

MODEL, README, COVER = "model.safetensors", "README.md", "cover.png"
USE = """With [{0}](https://pypi.org/project/{0}), in napari (*Plugins → {0} → Predict*), or in a terminal:

```bash
{0} predict {1}{2} IMAGE --out PREDICTED.tif
```"""


def write_folder(model: Path, sample: Sample, page: Page, asked: str, out: Path) -> list[Path]:
    """Write three files to the folder `out`, and name them; nothing is sent anywhere.

    Parameters
    ----------
    model
        The model's file, which is copied byte for byte.
    sample, page
        What is shown and said of it.
    asked
        The flags by which `predict` makes what the sample shows, if any.
    out
        Which is made.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with written_beside(out / MODEL) as beside:
        shutil.copyfile(model, beside)
    sample.write_cover(out / COVER)
    facts = {
        "license": page.licence.lower(),
        "library_name": PROJECT,
        "pipeline_tag": "image-to-image",
        "tags": ["microscopy", "pix2pix", "image-to-image"],
    }
    head = "\n".join(f"{name}: {json.dumps(said)}" for name, said in facts.items())
    with written_beside(out / README) as beside:
        beside.write_text(f"---\n{head}\n---\n\n{page.text(USE.format(PROJECT, MODEL, asked), COVER)}", "utf8")
    return [out / MODEL, out / COVER, out / README]
