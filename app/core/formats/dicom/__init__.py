"""DICOM: pixels as a viewer would show them, and an allow-list of what else the file says.

Only the tags of `tags.KEPT` are read at all, so no name, date or institution is ever in memory as a value. Refusals
are in our own words, never in those of a decoder, which may quote the file.
"""

from app.core.formats.dicom.reading import read, read_without_header

__all__ = ["read", "read_without_header"]
