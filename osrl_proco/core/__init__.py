"""What every other room may use: errors, files, random streams."""
