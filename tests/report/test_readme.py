"""What the README's numbers rest on: lists whose items can be told apart."""

from made_up_runs import RECREATED, write_run

from rvdt_jax.report.cells import read_cells
from rvdt_jax.report.readme import results_section


def test_items_with_commas_do_not_run_into_each_other(tmp_path):
    for regime, kept in (("D1", 125), ("D2", 60)):
        provenance = RECREATED | {"subset": {"episodes": kept, "of": 1250}}
        write_run(tmp_path / regime, "maze2d-umaze-v1", "QT", {0: 50.0}, regime=regime, provenance=provenance)
    text = results_section(read_cells([tmp_path]))
    assert "(recreated/x with 125 of 1250 trajectories, recreated/x with 60 of 1250 trajectories)" in text
    assert "; width 32, 1 layer, K=5, batch 256; 20 updates;" in text


def test_of_several_models_each_stands_in_brackets(tmp_path):
    for variant in ("DT", "QT"):
        write_run(tmp_path / variant, "maze2d-umaze-v1", variant, {0: 50.0})
    config = tmp_path / "QT" / "config.json"
    config.write_text(config.read_text().replace('"width": 32', '"width": 64'))
    text = results_section(read_cells([tmp_path]))
    assert "; (width 32, 1 layer, K=5, batch 256) or (width 64, 1 layer, K=5, batch 256);" in text
