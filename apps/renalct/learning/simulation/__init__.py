"""Simulated annotation: strategies choose cases, readers' labels are the oracle, and what is learned is measured."""
