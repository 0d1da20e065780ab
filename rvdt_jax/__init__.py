"""Return-rebalanced Value-regularized Decision Transformer in JAX.

Public names are resolved when first used, so that importing the package loads neither JAX nor a simulator:

    rvdt_jax.default_config   every setting, declared in ``rvdt_jax/config/fields.py``
    rvdt_jax.resolve          settings -> the frozen configuration that ``fit`` takes
    rvdt_jax.fit              train on a data set, evaluate and score
    rvdt_jax.Episodes         logged data of your own, for ``fit``
    rvdt_jax.load_policy      run directory -> a policy that acts
    rvdt_jax.Policy           such a policy; ``Policy.from_export`` reads an exported one with JAX and NumPy alone
    rvdt_jax.rebalance        return rebalancing for any trainer, on NumPy arrays
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "default_config": ("rvdt_jax.config", "default_config"),
    "resolve": ("rvdt_jax.config", "resolve"),
    "fit": ("rvdt_jax.runs.fit", "fit"),
    "Episodes": ("rvdt_jax.data.episodes", "Episodes"),
    "load_policy": ("rvdt_jax.acting.saved", "load_policy"),
    "Policy": ("rvdt_jax.acting.policy", "Policy"),
    "rebalance": ("rvdt_jax.rebalance", None),
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rvdt_jax' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    loaded = importlib.import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
