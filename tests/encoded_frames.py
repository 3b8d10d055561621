"""Frames of 6 rows and 8 columns in codings for which nothing that is installed has an encoder.

Made once with imagecodecs 2026.3.6 (`jpeg8_encode(..., lossless=True)`, `htj2k_encode(..., reversible=True)`); the
values are 37 n for pixel n of an unsigned frame, 1024 less of a signed one.
"""

import base64

import numpy as np

VALUES = 37 * np.arange(48).reshape(6, 8)

_FRAMES = {
    ("JPEGLosslessSV1", "uint16"): (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAGAAgBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABgkQ/9oACAEBAAEAAMlSpUqVKlpQlSpUqVKlpQ"
        "lSpUqVKlpQlSpUqVKlpQlSpUqVKlpQlSpUqVKl/9k="
    ),
    ("JPEGLosslessSV1", "int16"): (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAGAAgBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABgkP/9oACAEBAAEAAN8AEqVKlSpUtKEqVKlSpU"
        "tKEqVKlSpUtKEqVKlSpUtKEqVKlSpUtKEqVKlSpUv/2Q=="
    ),
    ("JPEGLosslessSV1", "uint12"): (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALDAAGAAgBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABgkM/9oACAEBAAEAAM/+lSpUqVKlpQlSpUqVKl"
        "pQlSpUqVKlpQlSpUqVKlpQlSpUqVKlpQlSpUqVKl//2Q=="
    ),
    ("JPEGLossless", "uint16"): (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAGAAgBAREA/8QAFwABAQEBAAAAAAAAAAAAAAAACAYJEP/aAAgBAQAGAADqWlpaWlpaXShKJRKJRK"
        "JRKaUJRKJRKJRKJTShKJRKJRKJRKaUJRKJRKJRKJTShKJRKJRKJRKf/9k="
    ),
    ("JPEGLossless", "int16"): (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAGAAgBAREA/8QAFwABAQEBAAAAAAAAAAAAAAAACA8GCf/aAAgBAQAGAAC+AGl0ul0ul0ul6UJRKJ"
        "RKJRKJTpQlEolEolEolOlCUSiUSkAk4BJwCT6UQCTgEnAJOASaUSiU6UJRKJRKJRKJT//Z"
    ),
    ("JPEGLossless", "uint12"): (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALDAAGAAgBAREA/8QAFwABAQEBAAAAAAAAAAAAAAAACAYJDP/aAAgBAQAGAADn/wClpaWlpaWl0oSiUS"
        "iUSiUSmlCUSiUSiUSiU0oSiUSiUSiUSmlCUSiUSiUSiU0oSiUSiUSiUSn/2Q=="
    ),
    ("HTJ2KLossless", "uint16"): (
        "/0//UQApQAAAAAAIAAAABgAAAAAAAAAAAAAACAAAAAYAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJ"
        "CQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAFkAAf+TwAAmj/oFB3QAAADAABLAABMAUAGHdADS+QMHdADAABNAABMA"
        "JNIBAnQAyeQAIjQAwAAqYAAVYAiC/KAiMIJ2AE466aSTwEIBvrYA/9k="
    ),
    ("HTJ2KLossless", "int16"): (
        "/0//UQApQAAAAAAIAAAABgAAAAAAAAAAAAAACAAAAAYAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJ"
        "CQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAFkAAf+TwAAmj/4CB3QAAADAABLAABMAUAGHdADS+QMHdADAABNAABMA"
        "JNIBAnQAyeQAIjQAwAAqYAAVYAiC/KAiMIJ2AE466aSTwEIBvrYA/9k="
    ),
}


def frame(coding, sample):
    """The encoded bytes, for example of ("JPEGLossless", "int16")."""
    return base64.b64decode(_FRAMES[coding, sample])
