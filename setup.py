"""Packaging of rvdt-jax. Ranges here; the versions that the tests ran with are pinned in .config/constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

EXTRAS = {
    "cuda": ["jax[cuda13]"],
    "envs": [
        "gymnasium>=1.2,<2",
        "gymnasium-robotics>=1.4.2,<2",
        # From 3.12 on Gymnasium-Robotics' FrankaKitchen fails at reset (its joint-type check compares a NumPy integer
        # with an enum tuple); below 3.5 the geom margins of maze2d would count otherwise.
        "mujoco>=3.5,<3.12",
    ],
    "data": ["minari[hdf5,hf]>=0.5.4", "h5py>=3.10", "huggingface_hub>=0.30"],
    "plot": ["matplotlib>=3.9", "pillow>=10.1"],
    "import": ["pyarrow>=17"],  # reads CSV and Parquet
    "export": ["flatbuffers>=24.3"],  # of jax.export's files
    "tensorboard": ["tensorboardX>=2.6"],
    "video": ["imageio>=2.34", "imageio-ffmpeg>=0.5"],
    # Statistics over tasks. With pandas 3 the arch that rliable stands on cannot be imported.
    "report": ["rliable>=1.2", "pandas<3"],
    "recreate": ["sbx-rl>=0.24"],  # trains the policies that collect; acting with them takes NumPy alone
    "bench": ["torch>=2.4"],  # the peer of experiments/benchmark, and nothing else
    "test": ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "packaging>=24", "ruff==0.17.6"],
}
LAUNCHERS = "rvdt_jax_experiments"  # the package that experiments/ is installed as
PACKAGES = [LAUNCHERS, *(f"{LAUNCHERS}.{folder}" for folder in ("benchmark", "configs", "reporting"))]
# Console commands, rvdt-run and so on, each with the launcher of experiments/ that it starts.
COMMANDS = {
    "run": "run",
    "evaluate": "evaluate",
    "export": "export",
    "import": "import_data",
    "import-d4rl": "import_d4rl",
    "sweep": "sweep",
    "tables": "tables",
    "coverage": "coverage",
    "recreate": "recreate",
}
# The others bring PyTorch, CUDA or test tools.
ALL = ("envs", "data", "import", "export", "plot", "tensorboard", "video", "report")

setup(
    name="rvdt-jax",
    version="0.1.0",
    description="Return-rebalanced Value-regularized Decision Transformer, and its whole family, in JAX",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=[*find_packages(include=["rvdt_jax", "rvdt_jax.*"]), *PACKAGES],
    package_dir={LAUNCHERS: "experiments"},
    entry_points={
        "console_scripts": [f"rvdt-{name} = {LAUNCHERS}.commands:{launcher}" for name, launcher in COMMANDS.items()]
    },
    package_data={"rvdt_jax": ["reference/*.csv", "data/examples/*.csv", "recreate/policies/*.npz"]},
    python_requires=">=3.11",
    # What training from a flat cache file needs. SciPy is a requirement of JAX anyway.
    install_requires=[
        "jax>=0.10,<0.12",
        "flax>=0.12",
        "optax>=0.2.5",
        "chex>=0.1.90",
        "orbax-checkpoint>=0.11.30",
        "absl-py>=2.1",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "scipy>=1.14",
        "tqdm>=4.66",
        "filelock>=4.2",  # older versions empty the file of a lock that another process holds
    ],
    extras_require=EXTRAS | {"all": [line for name in ALL for line in EXTRAS[name]]},
)
