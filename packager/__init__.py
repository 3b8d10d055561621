"""What makes the MONAI application package from `deploy/`: ``python -m packager --help``, and docs/map.md.

It stands beside `deploy/` and not in it because the stock packager copies the whole application folder into the image,
where its files become top-level modules.
"""
