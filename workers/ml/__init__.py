"""Numerics of the studio: training, sampling, metrics and explanations on plain arrays.

Nothing here knows of jobs, databases or files' places. The torchvision mend is in place first, before any library of
ours can import torchvision; torch itself is loaded only by what needs it.
"""

from workers.ml.torchvision_mend import mend_torchvision

mend_torchvision()
