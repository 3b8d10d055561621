"""Made data: procedural CT phantoms with known kidneys and masses. numpy and scipy only."""
