"""The loop: measuring releases, choosing what to label next, and promoting what got better."""
