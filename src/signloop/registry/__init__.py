"""Trainings and bundles in, MLflow runs, versions and aliases out; no other package knows MLflow, which is loaded at first use."""
