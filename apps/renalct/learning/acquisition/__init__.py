"""Which case to label next: what a release is unsure of, strategies that order cases, and the choice with its why."""
