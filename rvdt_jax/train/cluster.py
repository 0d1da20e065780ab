"""Connecting the processes of one run, by flags or by what the cluster's launcher says; see ``start``.

JAX ends every process with SIGABRT once one of them has died or has been waited for too long:

- A collective fails at once where the connection to a dead process breaks.
- A process that gives no sign of life for ``HEARTBEAT_SECONDS`` counts as dead, as after a kill during an evaluation.
- A process that leaves waits ``SHUTDOWN_SECONDS`` for the others, as after an exception in one of them.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping

from rvdt_jax.errors import UserError, one_line

HEARTBEAT_SECONDS = 60
SHUTDOWN_SECONDS = 60
CONNECT_SECONDS = 300  # processes of one job may start minutes apart
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def start(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    distributed: bool | None = None,
) -> int:
    """Connects this process to the others of its run, before JAX is used for anything else.

    With all of ``coordinator``, ``num_processes`` and ``process_id`` it connects to those. Without them it connects
    where Slurm (``srun``), Open MPI 4 (``mpirun``) or a multi-host TPU slice on GKE has started more than one process.

    Args:
        coordinator: ``HOST:PORT`` of process 0, as the others reach it.
        num_processes, process_id: how many there are, and which one this is, from 0.
        distributed: True connects to whatever ``jax.distributed.initialize`` detects, Kubernetes and Cloud TPU
            included; False forbids detection; None decides as above.

    Returns:
        The number of this process, 0 if it is alone.

    Raises:
        UserError: the arguments do not fit together, the port is taken, process 0 does not answer, or Open MPI 5
            started several processes, of which JAX learns nothing.
    """
    given = {"--coordinator": coordinator, "--num_processes": num_processes, "--process_id": process_id}
    missing = [name for name, value in given.items() if value is None]
    if not missing:
        if distributed is False:
            raise UserError("--coordinator and --nodistributed exclude each other: leave one of them out.")
        _check(coordinator, num_processes, process_id)
        return _connect(coordinator, num_processes, process_id) if num_processes > 1 else 0
    if len(missing) < len(given):
        raise UserError(
            f"{' and '.join(missing)} missing: --coordinator=HOST:PORT, --num_processes and --process_id belong "
            "together. On Slurm and Open MPI 4 none of them is needed."
        )
    if distributed is None:
        _refuse_open_mpi_5(os.environ)
    return _detect() if distributed or (distributed is None and tasks_of(os.environ) > 1) else 0


def _refuse_open_mpi_5(environment: Mapping[str, str]) -> None:
    """Open MPI 5 sets none of the variables by which JAX finds the first process."""
    several = int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1
    if several and "OMPI_MCA_orte_hnp_uri" not in environment and tasks_of(environment) == 1:
        raise UserError(
            "mpirun of Open MPI 5 and later does not say where process 0 is. Add --coordinator=HOST:PORT "
            "--num_processes=$OMPI_COMM_WORLD_SIZE --process_id=$OMPI_COMM_WORLD_RANK, or --nodistributed for runs of "
            "their own."
        )


def tasks_of(environment: Mapping[str, str]) -> int:
    """How many processes the launcher of this one has started together; 1 if no launcher says so.

    The variables are those by which JAX recognises Slurm, Open MPI and GKE's TPU slices. Only ``srun`` sets a step's
    node list: the script of ``sbatch``, the shell of ``salloc`` and a login node have none.
    """
    if {"SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID"} <= environment.keys():
        return int(environment.get("SLURM_NTASKS", 1))
    if "OMPI_MCA_orte_hnp_uri" in environment:
        return int(environment.get("OMPI_COMM_WORLD_SIZE", 1))
    return len(environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES", "")).split(","))


def _check(coordinator: str, num_processes: int, process_id: int) -> None:
    if num_processes < 1:
        raise UserError(f"--num_processes={num_processes} must be at least 1.")
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id={process_id} must be one of 0 to {num_processes - 1}, as --num_processes says.")
    found = re.fullmatch(r".+:(\d+)", coordinator)
    if not found or not 0 < int(found[1]) < 65536:
        raise UserError(f"--coordinator={coordinator!r} is not HOST:PORT, such as 10.0.0.1:12345.")


def _connect(coordinator: str, num_processes: int, process_id: int) -> int:
    host, _, port = coordinator.rpartition(":")
    # JAX aborts or crashes on what is checked here.
    check = _await_coordinator if process_id > 0 else _check_free
    check(host.strip("[]"), int(port), coordinator)
    return _initialize(
        coordinator_address=coordinator,
        num_processes=num_processes,
        process_id=process_id,
        cluster_detection_method="deactivate",
        # The service has no authentication: on one machine it need not be reachable from others.
        coordinator_bind_address=coordinator if host in _LOOPBACK else None,
    )


def _detect() -> int:
    return _initialize()


def _initialize(**arguments) -> int:
    """Connects, and returns the number of this process."""
    import jax

    # It would take SIGTERM away from ``runs.signals``.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            initialization_timeout=CONNECT_SECONDS,
            **arguments,
        )
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        reason = one_line(error)
        raise UserError(
            f"the processes could not be connected: {reason} Give --coordinator=HOST:PORT, --num_processes and "
            "--process_id, or train in this process alone with --nodistributed."
        ) from error
    return jax.process_index()


def _check_free(host: str, port: int, coordinator: str) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise UserError(
            f"--coordinator={coordinator}: process 0 cannot listen there ({error.strerror}). It must be an address of "
            "the machine of process 0, and a free port."
        ) from error


def _await_coordinator(host: str, port: int, coordinator: str) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except (OSError, UnicodeError) as error:  # UnicodeError: what is no name of a machine
            if time.monotonic() > deadline or isinstance(error, socket.gaierror | UnicodeError):
                raise UserError(
                    f"--coordinator={coordinator}: process 0 does not answer ({error}). Start it with the same "
                    "--coordinator and --process_id=0."
                ) from error
            time.sleep(0.2)
