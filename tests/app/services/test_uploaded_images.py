"""Single images that are uploaded to be explained."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.core.errors import BadInputError
from app.services import uploaded_images
from tests.dicoms import dicom

CT = np.array([[0, 1024, 1064, 1103]], np.uint16)
HEAD = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 80}


def test_a_dicom_file_is_shown_by_its_own_window():
    prepared = uploaded_images.decode(BytesIO(dicom(CT, **HEAD)))
    assert np.asarray(Image.open(BytesIO(prepared.png))).tolist() == [[0, 0, 129, 255]]  # 40 HU of 0 to 79


def test_several_frames_are_refused_with_what_to_do():
    with pytest.raises(BadInputError, match="several images") as caught:
        uploaded_images.decode(BytesIO(dicom(np.zeros((3, 8, 8), np.uint8), num_frames=3)))
    assert "with one image in it" in caught.value.hint
