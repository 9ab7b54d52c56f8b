"""What only a person can say of a dataset; the rest of its card is measured."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from models.specs.base import Spec

MAX_TEXT = 5000


def _tidy(value: Any) -> Any:
    """Browsers count a line's end as one character and send two; so it is made one before it is counted here."""
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else value


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("The text holds the character NUL, which cannot be stored; remove it.")
    return text


Text = Annotated[str, Field(max_length=MAX_TEXT), BeforeValidator(_tidy), AfterValidator(_storable)]


class CardText(Spec):
    source: Annotated[
        Text, Field(title="Source", description="Where the images come from: hospital, publication, address.")
    ] = ""
    licence: Annotated[
        Text,
        Field(
            title="Licence", description="What may be done with them, and who says so. Best with the licence's address."
        ),
    ] = ""
    consent: Annotated[
        Text, Field(title="Consent", description="Consent of the patients, ethics approval, de-identification.")
    ] = ""
    population: Annotated[
        Text,
        Field(title="Population", description="Who was imaged: age, sex, site, years, how they were selected."),
    ] = ""
    acquisition: Annotated[
        Text,
        Field(title="Acquisition", description="Devices, protocols, staining, who labelled the images and how."),
    ] = ""
    known_problems: Annotated[
        Text, Field(title="Known problems", description="What is wrong with them as far as you know.")
    ] = ""
    contact: Annotated[Text, Field(title="Contact", description="Who made the dataset, and whom to ask.")] = ""
    citation: Annotated[Text, Field(title="Citation", description="How to cite it.")] = ""
