"""The table of a search, from made-up records."""

import json

import pytest

from rvdt_jax.report.tuning import read_search, search_table

TASKS = ("maze2d-umaze-v1", "maze2d-medium-v1")


def record(selection, target, score, task=TASKS[0], variant="RVDT"):
    cell = {"normalized_score": score, "normalized_score_std": 2.0}
    return {
        "task": task,
        "variant": variant,
        "seeds": [100, 101],
        "action_selection": selection,
        "headline_target": target,
        "final": {target: {"aggregate": cell}},
        "hardware": "1 x a processor",
    }


def write(root, setting, task, scores, variant="RVDT"):
    folder = root / setting / task / variant
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(record("best_of", "300.0", scores[0], task, variant)))
    for number, score in enumerate(scores[1:], start=1):
        (folder / f"scores-{number}.json").write_text(json.dumps(record("mean", f"{number}.0", score, task, variant)))
    folder.with_name(f"{variant}.command").write_text(f"python experiments/run.py --setting={setting}\n")


@pytest.fixture
def root(tmp_path):
    write(tmp_path, "chosen", TASKS[0], [140.0, 130.0])
    write(tmp_path, "chosen", TASKS[1], [150.0])
    write(tmp_path, "weaker", TASKS[0], [100.0], variant="QT")
    return tmp_path


def test_a_cell_has_every_way_to_choose_and_its_command(root):
    cell = read_search(root)[1]
    assert (cell.setting, cell.task, cell.variant, cell.seeds) == ("chosen", TASKS[0], "RVDT", (100, 101))
    assert cell.scores == {"best_of@300": (140.0, 2.0), "mean@1": (130.0, 2.0)}
    assert cell.headline == "best_of@300"
    assert cell.command == "python experiments/run.py --setting=chosen"


def test_the_table_compares_headlines_and_has_a_mean_only_where_every_task_was_run(root):
    lines = search_table(read_search(root), {"chosen": "as it is", "weaker": "less", "unrun": "-"}, TASKS).splitlines()
    assert "| chosen | RVDT | 140.0 +- 2.0 | 150.0 +- 2.0 | 145.0 | as it is |" in lines
    assert "| weaker | QT | 100.0 +- 2.0 | - | - | less |" in lines
    assert not any("unrun" in line for line in lines)
    assert any("mean@1 130.0 +- 2.0" in line for line in lines)
    assert "python experiments/run.py --setting=weaker" in lines
