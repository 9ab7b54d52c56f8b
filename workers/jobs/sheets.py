"""One picture of many images, shown on the job's page while the job goes on."""

from app.core.images import Uint8, contact_sheet, encode_png
from workers.context import JobContext

MOST_COLUMNS = 8  # of a drawn set
GAP = 2  # pixels that contact_sheet leaves between images; the page needs it to find a cell


def publish_sheet(context: JobContext, images: Uint8, *, step: int, classes: list[str], columns: int) -> None:
    """Show images (classes * columns, H, W, C), class by class, as the preview of `step`."""
    context.publish(
        "preview",
        step,
        encode_png(contact_sheet(images, columns)),
        name=f"preview-{step:08d}.png",
        media_type="image/png",
        data={"step": step, "classes": classes, "columns": columns, "cell": images.shape[1], "gap": GAP},
    )
