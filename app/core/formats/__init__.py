"""Files of strangers as images of 8 bit: plain images, DICOM, NIfTI, and npz in MedMNIST's form.

`reading.read` is called in a limited child process only (`app.core.images.child`); pydicom and nibabel are imported
when the first such file comes. Nothing here is ever loaded with pickle.
"""
