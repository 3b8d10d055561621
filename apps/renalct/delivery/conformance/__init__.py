"""The DICOM conformance statement, generated from the code: ``renalct conformance`` writes docs/conformance.md."""
