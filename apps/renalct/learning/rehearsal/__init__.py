"""A rehearsal of a label server: made studies, a first release that knows little, marks from outside, and a report."""
