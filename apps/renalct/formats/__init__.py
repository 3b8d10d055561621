"""Files: NIfTI, KiTS folders, DICOM, and the output folder."""
