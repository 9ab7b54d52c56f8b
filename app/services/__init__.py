"""What a person can do, as plain functions: session first, all queries here, no commit and no FastAPI."""
