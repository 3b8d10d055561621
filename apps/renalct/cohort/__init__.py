"""Thousands of studies: a manifest, workers on an existing engine, a folder per study, and tables of all."""
