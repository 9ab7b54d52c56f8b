"""Class-conditional diffusion: the noise schedule, training and sampling."""
