"""How hardware is named, once for all records."""

from rvdt_jax.report import provenance
from rvdt_jax.report.provenance import describe_hardware
from rvdt_jax.report.results import hardware_label


def test_hardware_is_named_by_number_device_and_cores(monkeypatch):
    monkeypatch.setattr(provenance, "processor", lambda: "AMD EPYC")
    monkeypatch.setattr(provenance, "usable_cores", lambda: 2)
    assert describe_hardware("cpu") == "1 x AMD EPYC (2 cores)"
    assert describe_hardware("NVIDIA H100", devices=4) == "4 x NVIDIA H100"
    assert describe_hardware("cpu", devices=4, processes=2) == "2 processes x 2 x AMD EPYC (2 cores)"
    assert hardware_label({"hardware": "1 x cpu"}) == "1 x CPU (name not recorded)"
