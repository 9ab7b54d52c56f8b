"""The shape of a dataset's card."""

from pydantic import Field

from app.api.schemas.base import In, Out, named
from app.services.datasets.cards import Card
from models.specs.card import CardText


class CardIn(CardText, In):
    """What a person says of the images. A field that is left out becomes empty."""

    model_config = named(source="University hospital, 2019 to 2023", licence="CC BY 4.0", consent="Ethics vote 12/34")

    def text(self) -> CardText:
        return CardText(**self.model_dump())


class FactOut(Out):
    name: str
    value: str


class CardOut(Out):
    """What a person says of a version's images, and what is measured of them."""

    version: int
    text: CardText
    not_stated: list[str] = Field(description="Names of the fields of text that are empty.")
    facts: list[FactOut] = Field(
        description="What is counted, in words. GET /health has figures, findings and baselines."
    )
    counts: dict[str, dict[str, int]] = Field(description="Images by class and split.")

    @classmethod
    def of(cls, card: Card) -> "CardOut":
        return cls(
            version=card.version.number,
            text=card.text,
            not_stated=card.not_stated,
            facts=[FactOut(name=what, value=words) for what, words in card.facts],
            counts=card.version.counts,
        )
