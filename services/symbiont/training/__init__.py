"""Training control: base models, datasets, jobs, and the models that they make."""
