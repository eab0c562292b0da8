"""The ``safelight`` command. A thin layer over the package: every command has ``--json``."""
