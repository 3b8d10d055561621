"""DICOM: studies read, series chosen and loaded; segmentations, reports and key images written."""
