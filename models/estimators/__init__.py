"""Gradient estimators. A row of the cookbook is an `Estimator` of `catalog`, a function here, or both.

The functions take one sample, ``(circuit, objective, parameters, x, y, ...)``, and return a gradient shaped like the
parameters; `jax.vmap` makes batches.
"""
