"""Classifiers: pretrained weights, training, prediction."""
