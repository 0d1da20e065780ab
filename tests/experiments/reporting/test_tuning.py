"""The table of a search, from made-up records."""

from reporting.tuning import read_search, search_table

from rvdt_jax.report.records import read_json, write_json

TASKS = ("maze2d-umaze-v1", "maze2d-medium-v1")


def write(root, setting, task, scores, variant="RVDT"):
    """A run with the first score as its headline, scored again under ``mean`` with the others."""
    folder = root / setting / task / variant
    folder.mkdir(parents=True)
    facts = {"task": task, "variant": variant, "seeds": [100, 101]}
    for number, score in enumerate(scores):
        selection, target = ("mean", f"{number}.0") if number else ("best_of", "300.0")
        final = {target: {"aggregate": {"normalized_score": score, "normalized_score_std": 2.0}}}
        record = facts | {"action_selection": selection, "headline_target": target, "final": final, "steps": 9}
        write_json(folder / (f"scores-{number}.json" if number else "results.json"), record)
    folder.with_name(f"{variant}.command").write_text(f"python experiments/run.py --setting={setting}\n")


def test_the_table_compares_headlines_and_has_a_mean_only_where_every_task_was_run(tmp_path):
    write(tmp_path, "chosen", TASKS[0], [140.0, 130.0])
    write(tmp_path, "chosen", TASKS[1], [150.0])
    write(tmp_path, "weaker", TASKS[0], [100.0], variant="QT")
    cells = read_search(tmp_path)
    assert cells[1].scores == {"best_of@300": (140.0, 2.0), "mean@1": (130.0, 2.0)}
    assert (cells[1].headline, cells[1].seeds) == ("best_of@300", (100, 101))
    reasons = {"chosen": "as it is", "weaker": "less", "unrun": "-"}
    lines = search_table(cells, reasons, (*TASKS, "other"), TASKS).splitlines()
    assert "| chosen | RVDT | 140.0 +- 2.0 | 150.0 +- 2.0 | - | 145.0 | as it is |" in lines
    assert "| weaker | QT | 100.0 +- 2.0 | - | - | - | less |" in lines
    assert not any("unrun" in line for line in lines)
    assert any("mean@1 130.0 +- 2.0" in line for line in lines)
    assert "python experiments/run.py --setting=weaker" in lines


def test_a_cell_without_a_score_leaves_the_mean_blank(tmp_path):
    write(tmp_path, "chosen", TASKS[0], [None])
    write(tmp_path, "chosen", TASKS[1], [150.0])
    assert "| 150.0 +- 2.0 | - | as it is |" in search_table(
        read_search(tmp_path), {"chosen": "as it is"}, TASKS, TASKS
    )


def test_the_score_of_another_checkpoint_does_not_count(tmp_path):
    write(tmp_path, "chosen", TASKS[0], [140.0])
    folder = tmp_path / "chosen" / TASKS[0] / "RVDT"
    early = read_json(folder / "results.json") | {"steps": 5}
    early["final"]["300.0"]["aggregate"]["normalized_score"] = 7.0
    write_json(folder / "scores-5.json", early)
    assert read_search(tmp_path)[0].scores == {"best_of@300": (140.0, 2.0)}
