"""On results: overlap, distances, domains, classification and significance; their tables and figures."""
