"""renalct: kidneys and renal masses on CT, segmented, measured, classified and explained. Not for clinical use."""

__version__ = "0.1.0"
