"""Names that the studio makes up: a dataset's name and short facts, never one made-up name inside another.

People may give other names afterwards; so what is made up points at rows by their number, which never changes.
"""

LONGEST = 60  # characters of a dataset's name within another name
TAIL = 20


def shortened(name: str) -> str:
    """The name, or its beginning and end where it has more than 60 characters: both tell long names apart."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - TAIL - 1].rstrip()}…{name[-TAIL:].lstrip()}"


def checkpoint(dataset: str, *, preset: str, image_size: int, num_steps: int) -> str:
    return f"{shortened(dataset)}, {preset} {image_size} px, {num_steps:,} steps"


def synthetic_set(dataset: str, *, num_images: int, checkpoint_id: int, seed: int) -> str:
    return f"{shortened(dataset)}, {num_images:,} images of checkpoint {checkpoint_id}, seed {seed}"


def classifier(dataset: str, *, architecture: str, learnt: str, seed: int) -> str:
    return f"{shortened(dataset)}, {shortened(architecture)} on {learnt}, seed {seed}"
