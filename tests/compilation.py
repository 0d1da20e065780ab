"""How tests compile: with the quickest of XLA's compilers, for tests mostly compile. test_readme does as users do."""

from importlib import metadata

WITH_EMITTERS = {}  # compiler options
ONE_DEVICE = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
if metadata.version("jaxlib").startswith("0.10."):  # a flag that XLA does not know ends the process
    WITH_EMITTERS["xla_cpu_use_fusion_emitters"] = True
    ONE_DEVICE["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
FAST_PROGRAMS = WITH_EMITTERS | {"xla_backend_optimization_level": 3}  # for minutes of training
EIGHT_DEVICES = {"XLA_FLAGS": ONE_DEVICE["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"}
