"""Pictures of results: planes through a volume, contours, key images and the report page. No file is written here."""
