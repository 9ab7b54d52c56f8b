"""The web process: FastAPI and Jinja2. It never imports torch."""

VERSION = "0.1.0"  # of the studio, as in pyproject.toml
