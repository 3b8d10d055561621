"""Arrays on grids: resampling, connected components, measurements, intensities and quality."""
