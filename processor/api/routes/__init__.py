"""The paths under `/api/v1`, a module for each sort of thing."""
