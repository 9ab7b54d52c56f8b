"""How near synthetic images come to real ones, and how varied they are: figures with intervals, beside a real-vs-real floor.

features -> frechet, kernel, manifold (from features alone) and ms_ssim (from pixels) -> report.
"""
