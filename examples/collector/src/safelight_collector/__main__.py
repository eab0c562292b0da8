"""``python -m safelight_collector``."""

from safelight_collector.cli import main

if __name__ == "__main__":
    main()
