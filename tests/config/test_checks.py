"""What is refused: values out of range, of the wrong type, misspelt, or that contradict each other."""

import dataclasses
import math
import re

import pytest
from settings_helpers import get, leaves, of_own_data, resolved

from rvdt_jax.algorithms.variants import VARIANTS
from rvdt_jax.config.checks import LOG_STD_RANGE, check_config, check_names_data
from rvdt_jax.config.declaration import POSITIVE
from rvdt_jax.config.defaults import default_config
from rvdt_jax.config.fields import FIELDS
from rvdt_jax.config.serialization import from_leaves
from rvdt_jax.config.settings import resolve
from rvdt_jax.models import policy

BAD = {int: [10**10], float: [math.nan, math.inf, -math.inf], str: ["tiny"]}
CHECKED = [field for field in FIELDS.values() if field.kind in (int, float) or field.choices]


@pytest.mark.parametrize("field", CHECKED, ids=lambda field: field.name)
def test_a_number_out_of_range_or_an_unknown_choice_is_named_with_what_is_allowed(field):
    allowed = f"; choose one of {', '.join(field.choices)}\\.$" if field.choices else "; it must be finite"
    allowed += "" if field.low is None else r" and (between \S+ and|at least) \S+\.$"
    beyond = [end + step for end, step in ((field.low, -1), (field.high, 1)) if end is not None]
    beyond += [0.0] if field.low == POSITIVE else []
    variant = next(name for name in ("RVDT", *VARIANTS) if VARIANTS[name].does_read(field.name))
    for value in BAD[field.kind] + [field.kind(number) for number in beyond]:
        with pytest.raises(ValueError, match=rf"^config\.{field.name} is {re.escape(repr(value))}{allowed}"):
            resolved({field.name: value, "variant": variant})


@pytest.mark.parametrize("task", [None, ""])
def test_neither_a_task_nor_data_is_refused_with_both_ways_out(task):
    config = resolved(task=task)  # rvdt_jax.fit may still be handed data
    with pytest.raises(ValueError, match=r"config\.task is not set. Name a task.*--config\.data\.minari_id=ID"):
        check_names_data(config)
    for named in ({"data.minari_id": "toy/walk-v1"}, {"data.source": "file", "data.path": "x.npz"}):
        check_names_data(resolved(named, task=task))


@pytest.mark.parametrize("name", ["a/../toy-v0", "/toy-v0", "toy/walk-v1/", "toy//a-v1", "a b-v1", "hf://x/y", "~/x"])
def test_what_is_no_minari_id_is_refused_with_an_example(name):
    with pytest.raises(ValueError, match=f"^config.data.minari_id='{name}' is no Minari id: .*such as D4RL/pen/human"):
        of_own_data({"data.minari_id": name})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"task": "maze2d-umze-v1"}, r"task.*maze2d-umze-v1.*Did you mean 'maze2d-umaze-v1'"),
        ({"variant": "rvtd"}, r"config\.variant.*'rvtd'.*Did you mean 'RVDT'"),
        ({"seeds": ()}, r"config\.seeds is \(\); give one or more"),
        ({"seeds": (0, 1, 0)}, r"config\.seeds is \(0, 1, 0\): 0 is given more than once"),
        ({"seeds": (0, -1)}, r"config\.seeds is \(0, -1\); give .*from 0 to"),
        ({"seeds": (0.5,)}, r"config\.seeds is "),
        ({"seeds": (2**40,)}, r"config\.seeds is "),  # a seed becomes an int32
        ({"data.observation_keys": ("a", "b", "a")}, r"config\.data\.observation_keys is .*; give different names"),
        ({"data.observation_keys": (1,)}, r"config\.data\.observation_keys is .*; give different names"),
        ({"data.path": "mine.npz"}, r"config\.data\.path is set, but config\.data\.source is auto"),
        ({"data.source": "file"}, r"config\.data\.source=file needs config\.data\.path"),
        ({"eval.targets": ()}, r"config\.eval\.targets is \(\); give one or more different, finite"),
        ({"eval.targets": (50.0, 20.0, 50.0)}, r"config\.eval\.targets is .*; give one or more different, finite"),
        ({"eval.targets": (1.0, math.nan)}, r"config\.eval\.targets is \(1\.0, nan\); give .*finite"),
        ({"eval.targets": ("high",)}, r"config\.eval\.targets is "),
        ({"policy.learn_std": True, "policy.std": 2.0}, r"config\.policy\.std=2\.0 .* between 0\.00674 and 1\.65"),
        ({"model.width": 250}, r"config\.model\.width=250 is not a multiple of heads=4"),
        ({"train.log_every": 300}, r"config\.eval\.every=1000 is not a multiple of train\.log_every=300"),
        ({"train.checkpoint_every": 150}, r"config\.train\.checkpoint_every=150 is not a multiple of train\.log_every"),
        ({"variant": "IQL", "loss.reward_scale": 2.0, "loss.return_span": 9.0}, "reward_scale=2 and .*_span=9 both"),
        ({"variant": "DT", "loss.rebalancing": "kl_explicit"}, r"config\.loss\.rebalancing=kl_explicit needs"),
        ({"data.regime": "D3", "data.fraction": 0.5}, r"regime=D3 keeps 0\.02 .* config\.data\.fraction is 0\.5"),
    ],
)
def test_contradictory_settings_are_named(overrides, message):
    with pytest.raises(ValueError, match=message):
        resolved(overrides)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("eval.action_selection", "best_of", "=best_of needs a critic"),
        ("eval.action_selection", "sample", "=sample needs"),
        ("policy.learn_std", True, "=True needs policy.head=gaussian"),
        ("train.steps", 2.5, " is 2.5; it must be a whole number"),
        ("loss.alpha", "strong", " is 'strong'; it must be a number"),
    ],
)
def test_what_is_asked_of_a_resolved_configuration_is_refused(name, value, message):
    """``evaluate.py --action_selection`` asks for it explicitly, of one run."""
    with pytest.raises(ValueError, match=f"config.{name}{message}"):
        check_config(from_leaves(leaves(resolved(variant="DT")) | {name: value}))


@pytest.mark.parametrize(
    "overrides",
    [
        *({"model.width": 250, "model.heads": 5}, {"eval.every": 150, "train.log_every": 50}, {"env": "none"}),
        *({"variant": "RDT", "model.context_length": 1}, {"variant": "QT", "eval.action_selection": "critic"}),
        *({"variant": "RDT", "loss.rebalancing": "kl_explicit"}, {"data.source": "file", "data.path": "mine.npz"}),
        *({"variant": "RDT", "loss.q_guidance": True, "loss.eta": 0.5}, {"eval.targets": (-3.0, 0.0)}),
        *({"data.observation_keys": ("desired_goal.kettle", "observation")}, {"data.minari_id": "mujoco/a_b/v1.5-v0"}),
        # The ends of a range belong to it.
        *({"loss.gamma": 0.0, "ema.start": 0, "train.steps": 1}, {"loss.gamma": 1.0, "expert.fraction": 1.0}),
        {"eval.processes": 1024, "loss.reward_shift": -1e6},
    ],
    ids=str,
)
def test_settings_in_their_ranges_that_agree_are_accepted(overrides):
    config = resolved(overrides)
    assert {name: get(config, name) for name in overrides} == overrides


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("train.steps", "many"), ("train.batch_size", 2.5), ("loss.alpha", "strong"), ("loss.q_guidance", "perhaps")),
        *(("model.dtype", 32), ("seeds", 3), ("eval.targets", 50.0), ("env", 3)),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=name.split(".")[-1]):
        resolved({name: value})


def test_a_field_that_is_missing_or_was_emptied_is_named():
    settings = default_config().unlock()
    settings.loss.alpha = None
    with pytest.raises(ValueError, match=r"config\.loss\.alpha is None. Leave it at its default, 1\.0, or give it a"):
        resolve(settings)
    del settings.loss.alpha
    with pytest.raises(ValueError, match=r"config\.loss\.alpha is missing. Begin with rvdt_jax\.default_config"):
        resolve(settings)


@pytest.mark.parametrize(("section", "typo", "nearest"), [("train", "stesp", "steps"), (None, "sedes", "seeds")])
def test_a_misspelt_field_is_refused_with_the_nearest(section, typo, nearest):
    for settings, error in ((default_config(), AttributeError), (default_config().unlock(), ValueError)):
        with pytest.raises(error, match=rf"Did you mean .*{nearest}"):  # noqa: PT012
            setattr(settings[section] if section else settings, typo, 3)
            resolve(settings)


def test_a_resolved_configuration_cannot_be_changed():
    config = resolved()
    for record, name in ((config, "seeds"), (config.loss, "eta")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, None)
    assert hash(config) == hash(resolved())


def test_the_range_of_a_learned_std_is_the_models():
    assert LOG_STD_RANGE == policy.LOG_STD_RANGE
