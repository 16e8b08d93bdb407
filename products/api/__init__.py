"""The sellers' API under /api/v1/: what the pages show, as JSON, for scripts with a token and for signed-in browsers."""
