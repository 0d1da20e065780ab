"""How hardware is named, once for all records."""

import pytest

from rvdt_jax.report import provenance as versions
from rvdt_jax.report.provenance import describe_hardware, device_name, installed_versions
from rvdt_jax.report.results import hardware_label


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(versions, "processor", lambda: "AMD EPYC")
    monkeypatch.setattr(versions, "usable_cores", lambda: 2)


def test_hardware_is_named_by_number_device_and_cores(monkeypatch):
    assert describe_hardware("cpu") == "1 x AMD EPYC (2 cores)"
    assert describe_hardware("NVIDIA H100", devices=4) == "4 x NVIDIA H100"
    assert describe_hardware("cpu", devices=4, processes=2) == "2 processes x 2 x AMD EPYC (2 cores)"
    monkeypatch.setattr(versions, "usable_cores", lambda: 1)
    assert describe_hardware("cpu") == "1 x AMD EPYC (1 core)"


def test_a_device_has_one_name_everywhere():
    assert device_name("cpu") == "AMD EPYC"
    assert device_name("NVIDIA H100") == "NVIDIA H100"


def test_a_record_that_names_no_processor_says_so():
    assert hardware_label({"hardware": "1 x cpu"}) == "1 x CPU (name not recorded)"
    assert hardware_label({"hardware": describe_hardware("cpu")}) == describe_hardware("cpu")


def test_the_versions_are_those_installed():
    assert installed_versions()["jax"]
