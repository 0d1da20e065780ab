"""Made-up records of runs, for the tests of the tables, and the rows of Markdown tables."""

from rvdt_jax.report.records import append_lines, write_json
from rvdt_jax.report.results import assemble_results
from rvdt_jax.tasks import get_task

RECREATED = {"dataset_id": "recreated/x", "recreated": True}


def write_run(
    folder,
    task,
    variant,
    scores,
    *,
    regime=None,
    best=500.0,
    provenance=RECREATED,
    eta=1.0,
    target=50.0,
    fraction=1.0,
    draw=0,
):
    """A finished run whose final checkpoint has these ``scores``, by seed, and half-way there ``best``.

    They are normalised, or returns where there is no task.
    """
    low, high = (get_task(task).ref_min_return, get_task(task).ref_max_return) if task else (None, None)
    evaluations = [
        {"step": step, "seed": seed, "target": target, "final": step == 20, "returns": [value]}
        for step, values in ((10, dict.fromkeys(scores, best)), (20, scores))
        for seed, score in values.items()
        for value in [low + (high - low) * score / 100 if task else score]
    ]
    settings = {"task": task, "variant": variant, "seeds": list(scores), "workdir": str(folder)}
    settings |= {"train": {"steps": 20, "batch_size": 256}, "loss": {"eta": eta}, "eval": {}}
    settings |= {"model": {"width": 32, "layers": 1, "context_length": 5, "critic_width": 256, "critic_layers": 2}}
    settings |= {"data": {"regime": regime, "fraction": fraction, "subset_seed": draw}}
    facts = {"ref_min_return": low, "ref_max_return": high, "provenance": provenance, "hardware": "1 x cpu"}
    folder.mkdir(parents=True)
    append_lines(folder / "evaluations.jsonl", evaluations)
    write_json(folder / "config.json", settings)
    write_json(folder / "results.json", assemble_results(settings, 20, evaluations, facts))


def line_of(text, label):
    """The cells of the first line of a Markdown table that begins with the label."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def measured_coverage(target=10.0, before=0.3, after=0.5, inside=True, worst=None):
    """What ``measure_coverage`` returns, for two bins and two groups; ``before`` and ``after`` are shares of steps."""

    def part(share, steps):
        least = share / 2 if worst is None else worst
        groups, experts = [[1 - least, least], [1 - share, share]], [share / 2, 2 * share]
        numbers = {"histogram": [1 - share, share], "by_group": groups, "expert_by_group": experts}
        for end, sign in (("low", -1), ("high", 1)):
            numbers[f"by_group_{end}"] = [[share + sign * 0.001 for share in row] for row in groups]
            numbers[f"expert_by_group_{end}"] = [share + sign * 0.01 for share in experts]
        return numbers | {"step_share": steps, "expert_share": share, "expert_step_share": steps}

    returns = {"edges": [0.0, 5.0, 10.0], "asked_bin": 1, "returns": {"min": 0.0, "max": 10.0}, "alpha": 2.0}
    facts = {"target": target, "episodes": 100, "target_is_in_range": inside, "expert_set": {"by": "start"}}
    return returns | facts | {"before": part(0.2, before), "after": part(0.4, after)}
