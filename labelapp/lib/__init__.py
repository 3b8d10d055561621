"""The parts of the app: the model, the label store, and how failures are told."""
