"""Words that not everybody knows, in a sentence each."""

import re

WORDS = {
    "as found": "As found: what the images look like decides, and is said below before anything runs.",
    "calibrat": "Calibration pairs: images that the model did not learn from, on which it is measured how wrong it is. "
    "With them an expected error has a bound, and a score a rank.",
    "field": "Field: the square of the image that one score looks at.",
    "rank": "Rank: the share of true images that scored lower; a rank of 1 % is rarely seen where all is well.",
    "judge": "To judge: after the training a second network learns, on the same pairs, to tell where predictions are "
    "wrong; each of its updates is a trust step.",
    "match": "Match: whether an image belongs to its source; planted errors taught it.",
    "L1": "L1: the mean difference between prediction and target, in network values from -1 to 1.",
    "cross-entropy": "Cross-entropy: how little what is true was expected; 0 where it was certain.",
    "L2": "L2: the mean squared difference between prediction and target.",
    "object F1": "Object F1: how many objects are found, and found rightly; 1 is all of them and no others.",
    "dice": "Dice: how far the labelled pixels of prediction and target are the same; 1 is all.",
    "discriminator": "Discriminator: the network that tries to tell predictions from targets while the other learns.",
    "validation": "Validation: images that the model did not learn from, and that choose the best model.",
    "planes": "Planes: the images of a stack along Z.",
}
"""By how such a word begins."""


def explained(text: str) -> str:
    """What the words of this text mean, a line each; nothing where all are plain."""
    found = (said for word, said in WORDS.items() if re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE))
    return "\n".join(found)


def with_words(tooltip: str, text: str = "") -> str:
    """A tooltip, and below it what its words, and those of `text`, mean."""
    return "\n\n".join(filter(None, (tooltip, explained(f"{text} {tooltip}"))))
