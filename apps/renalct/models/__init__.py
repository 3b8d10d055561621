"""Tensors: recipes, their networks from MONAI, inference, training and releases."""
