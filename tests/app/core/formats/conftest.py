"""Files as their images, read in this process: `picture(data)` is the only image, `pictures(data)` all of them, and
`refusal(data)` the reason why there is none. Options are those of an import."""

from io import BytesIO
from typing import Any

import pytest

from app.core.errors import BadInputError
from app.core.formats.conversion import Conversion, Picture
from app.core.formats.reading import read
from models.specs import ConversionOptions


@pytest.fixture
def pictures():
    def pictures_of(data: bytes, **options: Any) -> list[Picture]:
        return list(read(BytesIO(data), "f" * 64, Conversion.of(ConversionOptions(**options))))

    return pictures_of


@pytest.fixture
def picture(pictures):
    def picture_of(data: bytes, **options: Any) -> Picture:
        (only,) = pictures(data, **options)
        assert only.frame == ""
        return only

    return picture_of


@pytest.fixture
def refusal(pictures):
    def refusal_of(data: bytes, **options: Any) -> str:
        with pytest.raises(BadInputError) as caught:
            pictures(data, **options)
        return caught.value.detail

    return refusal_of


@pytest.fixture
def reason(pictures):
    """Why a broken file is refused; empty if it can be read all the same. Anything else would be raised."""

    def reason_of(data: bytes) -> str:
        try:
            pictures(data)
        except BadInputError as error:
            return error.detail
        return ""

    return reason_of
