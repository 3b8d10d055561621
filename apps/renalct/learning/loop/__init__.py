"""From labels to a published release: a frozen validation set, retraining, the gate, and the registry of versions."""
