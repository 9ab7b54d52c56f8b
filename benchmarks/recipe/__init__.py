"""Train diffusion on a real dataset, then judge its samples by what a classifier learns from them.

Run `python -m benchmarks.recipe --data ZIP --out FOLDER`; the zip holds one folder of images per class.
"""
