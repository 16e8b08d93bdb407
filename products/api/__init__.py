"""The sellers' API under /api/v1/: what the pages show, as JSON, for scripts and signed-in browsers."""
