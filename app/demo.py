"""The demo: the whole main job on head phantoms, through the same client that a lab's scripts use.

It is made to end within three minutes on two cores: few phantoms, a short training that goes on from the checkpoint
that comes with the studio, and a small pretrained classifier.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from app.core import phantoms
from app.core.config import Settings
from app.core.db import Database
from app.core.storage import make_storage
from app.services import demo, identity, tokens

if TYPE_CHECKING:
    from phantom import Studio

PER_CLASS = 60
DRAWN_SIZE = 64
SEED = 7
DIFFUSION: dict[str, Any] = {
    "preset": "tiny",
    "image_size": 32,
    "num_steps": 100,
    "lr": 2e-4,
    "preview_every": 50,
    "checkpoint_every": 50,
}
CLASSIFIER: dict[str, Any] = {"architecture": "tf_efficientnet_lite0", "epochs": 4, "input_size": 96}
SAMPLED_PER_CLASS = 40


def run_demo(settings: Settings, url: str, *, say: Callable[[str], None] = print) -> None:
    """Run the main job on the studio that listens at `url` and keeps its data as `settings` say."""
    from phantom import Studio  # the client's package; only the demo needs it

    database = Database(settings.effective_database_url)
    checkpoint_id, token = _prepare(database, settings)
    try:
        with Studio(url, token) as studio:
            _run(studio, _draw_phantoms(settings.folder / "phantoms"), checkpoint_id, say)
    finally:
        _revoke(database, token)
        database.dispose()


def _prepare(database: Database, settings: Settings) -> tuple[int, str]:
    """(id of the bundled checkpoint, secret of a token for the demo)."""
    with database.write() as session:
        who = identity.system(session)
        checkpoint = demo.register_checkpoint(session, who, make_storage(settings))
        _, secret = tokens.create(session, who, name="demo", scopes=["read", "write"], expires_in_days=1)
        return checkpoint.id, secret


def _revoke(database: Database, secret: str) -> None:
    with database.write() as session:
        who = identity.system(session)
        for token in tokens.listing(session, who):
            if token.prefix == secret[: len(token.prefix)]:
                tokens.revoke(session, who, token)


def _draw_phantoms(folder: Path) -> Path:
    for name, number, image in phantoms.draw_all(PER_CLASS, SEED, DRAWN_SIZE):
        path = folder / name / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def _run(studio: "Studio", folder: Path, checkpoint_id: int, say: Callable[[str], None]) -> None:
    begun = time.monotonic()
    with _step(say, f"Importing {PER_CLASS} phantoms of each of {len(phantoms.CLASSES)} classes"):
        data = studio.datasets.upload(folder, name=_free_name(studio))
    with _step(say, f"Training the diffusion model for {DIFFUSION['num_steps']} more steps"):
        checkpoint = studio.train_diffusion(data, init_checkpoint_id=checkpoint_id, seed=SEED, **DIFFUSION).wait()
    with _step(say, f"Drawing {SAMPLED_PER_CLASS} synthetic phantoms of each class"):
        synthetic = studio.sample(checkpoint, per_class=SAMPLED_PER_CLASS, seed=1).wait()
    with _step(say, "Training a classifier on synthetic phantoms alone"):
        classifier = studio.train_classifier(synthetic, seed=0, **CLASSIFIER).wait()
    with _step(say, "Testing it on real phantoms that nothing has seen"):
        evaluation = studio.evaluate(classifier, data.split("test")).wait()
    with _step(say, "Asking LIME where it looks"):
        images = [data.split("test").images(label=name, limit=1)[0] for name in data.classes]
        studio.explain(classifier, images, num_samples=200).wait()
    say(f"Done in {time.monotonic() - begun:.0f} s: accuracy on real phantoms {evaluation.accuracy}")


def _free_name(studio: "Studio") -> str:
    taken = {dataset.name for dataset in studio.datasets}
    names = [demo.NAME, *(f"{demo.NAME} {number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


@contextmanager
def _step(say: Callable[[str], None], text: str) -> Iterator[None]:
    begun = time.monotonic()
    say(f"{text} ...")
    yield
    say(f"  {time.monotonic() - begun:.0f} s")
