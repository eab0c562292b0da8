"""Parts that every model recipe shares: pictures, statistics, runtimes, goldens, measurements."""
