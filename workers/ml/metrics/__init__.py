"""Metrics: arrays in, JSON-able reports out."""
