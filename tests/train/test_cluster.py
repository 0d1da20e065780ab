"""How processes find each other: what is read from a cluster's environment, and what is refused before JAX starts."""

import socket

import pytest

from rvdt_jax.train import cluster

SLURM_STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
ADDRESS = "127.0.0.1:1234"


@pytest.mark.parametrize(
    ("environment", "tasks"),
    [
        ({}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, 1),  # the shell of salloc, the script of sbatch
        (SLURM_STEP | {"SLURM_NTASKS": "4"}, 4),
        (SLURM_STEP | {"SLURM_NTASKS": "1"}, 1),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:5", "OMPI_COMM_WORLD_SIZE": "3"}, 3),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 1),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, 2),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, 1),
    ],
)
def test_tasks_that_were_started_together(environment, tasks):
    assert cluster.tasks_of(environment) == tasks


def test_open_mpi_5_needs_the_flags(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"--process_id=\$OMPI_COMM_WORLD_RANK, or --nodistributed"):
        cluster.start()
    assert cluster.start(distributed=False) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ADDRESS, 2, None), "--process_id missing: .*belong together"),
        ((None, None, 1), "--coordinator and --num_processes missing"),
        ((ADDRESS, 2, 2), "--process_id=2 must be one of 0 to 1"),
        ((ADDRESS, 0, 0), "--num_processes=0 must be at least 1"),
        (("somewhere", 2, 0), "--coordinator='somewhere' is not HOST:PORT"),
        ((ADDRESS, 2, 0, False), "--nodistributed exclude each other"),
        (("nowhere.invalid:1234", 2, 0), "process 0 cannot listen there .*not known"),
        (("nowhere.invalid:1234", 2, 1), "process 0 does not answer .*not known"),
        *((("node..x:1234", 2, number), "process 0 (cannot listen there|does not answer)") for number in (0, 1)),
    ],
)
def test_flags_that_do_not_fit_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cluster.start(*arguments)


@pytest.mark.parametrize(
    ("number", "message"), [(0, "process 0 cannot listen there"), (1, "process 0 does not answer")]
)
def test_a_port_that_another_has_and_does_not_listen_on_is_refused(number, message, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match=message):
            cluster.start(f"127.0.0.1:{other.getsockname()[1]}", 2, number)


@pytest.mark.parametrize(
    ("environment", "arguments", "connects"),
    [
        ({}, {}, False),
        ({}, {"coordinator": ADDRESS, "num_processes": 1, "process_id": 0}, False),
        (SLURM_STEP | {"SLURM_NTASKS": "4"}, {}, True),
        (SLURM_STEP | {"SLURM_NTASKS": "4"}, {"distributed": False}, False),
        ({}, {"distributed": True}, True),
    ],
)
def test_detection_starts_only_where_there_are_several(environment, arguments, connects, monkeypatch):
    started = []
    for name in ("_connect", "_detect"):
        monkeypatch.setattr(cluster, name, lambda *_: started.append(True) or 3)
    monkeypatch.setattr(cluster.os, "environ", environment)
    assert cluster.start(**arguments) == (3 if connects else 0)
    assert bool(started) == connects
