"""How far to believe an image: the second discriminator as a value, its calibration, and novelty."""
