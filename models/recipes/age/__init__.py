"""Parts that the recipes of both age models share: face chips, measurements, cards."""
