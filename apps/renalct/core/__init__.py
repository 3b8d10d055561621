"""The words: errors, labels, phases, grids, volumes, findings and reports. numpy only."""
