"""The web process: FastAPI and Jinja2. It never imports torch."""
