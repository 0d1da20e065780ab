"""What an algorithm is to the rest of the package, and the parts that algorithms share.

An ``Algorithm`` is a record of functions. The driver, checkpoints, evaluation, sweeps and tables use nothing else of
it. To add one, write a module with an ``Algorithm`` and a row (``algorithms.variants.Variant``) that names it, and
train with ``--config.variant=package.module:ROW``; no other file changes.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import Any, Self

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from rvdt_jax.algorithms.variants import get_variant, load_named
from rvdt_jax.data.episodes import Episodes
from rvdt_jax.data.sampler import sample_batch
from rvdt_jax.models.critic import TwinCritic
from rvdt_jax.models.encoder import Encoder, fourier_encoder
from rvdt_jax.types import Array, Batch, Learner, Params, PolicyOutput, Store, TrainState

Metrics = dict[str, Array]  # scalars, by "learner/name"
SKIPPED = "train/skipped"
POLICY_UPDATED = "policy/updated"  # 1 where an update moved the policy: of others its metrics do not count


@dataclasses.dataclass(frozen=True)
class Spec:
    """The static structure of a run: hashable, so that equal specs share one compiled step.

    An algorithm that needs more extends it. What acts is here too, because evaluation and ``load_policy`` use it: the
    policy, a module with the attributes ``observation_size``, ``action_size`` and ``condition_on_return``, called as
    ``models.policy.TransformerPolicy`` is; and the critic, which scores candidate actions for ``eval.action_selection``
    and maps (..., S) observations and (..., A) actions to (C, ...) values. Parameters live in the state.
    """

    policy: nn.Module
    critic: nn.Module | None  # None if there is none
    batch_size: int  # B
    context_length: int  # K
    skip_nonfinite: bool = False  # whether an update that is not finite leaves the state as it was
    batch_sharding: jax.sharding.NamedSharding | None = None  # how a batch is laid over devices; None on one device


def shared_fields(config, sharding: jax.sharding.NamedSharding | None) -> dict[str, Any]:
    """The fields of every ``Spec`` that follow from the settings alone."""
    return {
        "batch_size": config.train.batch_size,
        "context_length": config.model.context_length,
        "skip_nonfinite": config.train.on_divergence == "skip",
        "batch_sharding": sharding,
    }


def from_setting(name: str, dtype=jnp.float32):
    """A field of a ``Coefficients`` that holds the setting of that dotted name, as a scalar of that dtype."""
    return flax.struct.field(metadata={"setting": name, "dtype": dtype})


@flax.struct.dataclass
class Coefficients:
    """The scalars that an update reads: traced, so that another value compiles nothing anew.

    An algorithm with more of them extends this class; each field names its setting.
    """

    learning_rate: Array = from_setting("train.learning_rate")  # peak learning rate
    lr_decay_steps: Array = from_setting("train.lr_decay_steps")  # updates in which it falls to 0 on a cosine
    grad_clip_norm: Array = from_setting("train.grad_clip_norm")  # global-norm clip

    @classmethod
    def read(cls, config, **computed: Array) -> Self:
        """The coefficients, each from the setting that its field names; ``computed`` are fields with none."""
        values = {}
        for field in dataclasses.fields(cls):
            if field.name not in computed:
                value = operator.attrgetter(field.metadata["setting"])(config)
                values[field.name] = jnp.asarray(value, field.metadata["dtype"])
        return cls(**values, **computed)


def init_policy_alone(key: Array, spec: Spec) -> TrainState:
    """The first state of an algorithm with one learner, the policy."""
    init_key, train_key = jax.random.split(key)
    return new_state(train_key, policy=new_learner(init_policy(init_key, spec.policy)))


def policy_alone(state: TrainState) -> dict[str, Params | None]:
    """The policy acts, and no critic scores candidates."""
    return {"policy": state.learners["policy"].params, "critic": None}


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An algorithm, as functions of explicit state.

    Attributes:
        make_spec: ``(config, observation_size, action_size, max_timestep, sharding=None) -> Spec``; the sizes are S, A
            and the steps of the longest training episode.
        update: ``(state, store, coefficients, spec) -> (state, metrics)``, one update of one seed, which also adds 1 to
            ``state.step``. Its random numbers come from ``update_key(state)``.
        init: ``(key, spec) -> TrainState``, the state before the first update.
        make_coefficients: ``config -> Coefficients``; the default has those of the optimiser alone.
        acting_params: ``state -> {"policy": params, "critic": params or None}``, what acts; also of states with a
            leading axis of seeds.
        nll: ``(output, actions, spec) -> (...)``, the loss of logged (..., A) actions at every step, which is recorded
            for trajectories that are held out; None records their action error alone.
        check_data: ``episodes -> None``, raises a ``UserError`` where the algorithm cannot learn from them.
    """

    make_spec: Callable[..., Spec]
    update: Callable[[TrainState, Store, Any, Any], tuple[TrainState, Metrics]]
    init: Callable[[Array, Any], TrainState] = init_policy_alone
    make_coefficients: Callable[[Any], Coefficients] = Coefficients.read
    acting_params: Callable[[TrainState], dict[str, Params | None]] = policy_alone
    nll: Callable[[PolicyOutput, Array, Any], Array] | None = None
    check_data: Callable[[Episodes], None] = lambda episodes: None


def get_algorithm(variant: str) -> Algorithm:
    """The algorithm of a variant, by the variant's name in the settings.

    Raises:
        UserError: there is no such variant, or its algorithm cannot be imported.
    """
    return load_named(get_variant(variant).algorithm, Algorithm, f"config.variant={variant}")


# --- for an algorithm's ``make_spec`` ---


def mlp_sizes(model) -> dict[str, Any]:
    """Width, layers and dtype of every MLP, from the settings ``config.model``."""
    return {"width": model.critic_width, "layers": model.critic_layers, "dtype": jnp.dtype(model.dtype)}


def critic_sees(model, encoder: Encoder | None = None) -> dict[str, Any]:
    """Normalisation and encoder of critics and value functions; ``encoder`` takes the place of Fourier features."""
    seen = encoder or fourier_encoder(model.critic_fourier_features, model.fourier_scale)
    return {"norm": model.critic_norm == "layer", "encoder": seen}


def make_critic(model, encoder: Encoder | None = None, activation: str = "mish") -> TwinCritic:
    """The critics of the settings ``config.model``."""
    return TwinCritic(**mlp_sizes(model), **critic_sees(model, encoder), activation=activation)


# --- for an algorithm's ``init`` ---


def new_learner(params: Params, *, with_target: bool = False) -> Learner:
    """A learner before its first update; its target is a copy of the parameters."""
    optimizer = make_optimizer(Coefficients(1.0, 1.0, 1.0), 0).init(params)  # it depends on no coefficient
    copy = jax.tree.map(jnp.copy, params) if with_target else None  # donated states must not alias
    return Learner(params, optimizer, copy)


def new_state(key: Array, **learners: Learner) -> TrainState:
    """The state before the first update; ``key`` is for training alone."""
    return TrainState(step=jnp.zeros((), jnp.int32), key=key, learners=learners)


def init_policy(key: Array, policy: nn.Module) -> Params:
    """Fresh parameters of a policy."""
    observations = jnp.zeros((1, 2, policy.observation_size))
    actions = jnp.zeros((1, 2, policy.action_size))
    return policy.init(key, observations, actions, jnp.zeros((1, 2)), jnp.zeros((1, 2), jnp.int32))["params"]


def examples(spec: Spec) -> tuple[Array, Array]:
    """An observation (1, S) and an action (1, A), to make parameters with."""
    return jnp.zeros((1, spec.policy.observation_size)), jnp.zeros((1, spec.policy.action_size))


def new_critic(key: Array, spec: Spec) -> Learner:
    """Fresh critics, with a target."""
    return new_learner(spec.critic.init(key, *examples(spec))["params"], with_target=True)


# --- for an algorithm's ``update`` ---


def update_key(state: TrainState) -> Array:
    """The key for the random numbers of this update; its split is the algorithm's own."""
    return jax.random.fold_in(state.key, state.step)


def draw_batch(
    key: Array, store: Store, spec: Spec, expert_probability: Array | float = 0.0, length: int | None = None
) -> Batch:
    """A batch of windows, of K steps or ``length``, laid over the devices; ``data.sampler`` says which."""
    batch = sample_batch(key, store, spec.batch_size, length or spec.context_length, expert_probability)
    return batch if spec.batch_sharding is None else jax.lax.with_sharding_constraint(batch, spec.batch_sharding)


def apply_policy(
    spec: Spec, params: Params, batch: Batch, *, dropout_key: Array | None = None, step: Array | None = None
) -> PolicyOutput:
    """The policy on a batch, at every step or at the one named; with dropout where a key is given."""
    inputs = (batch.observations, batch.actions, batch.returns_to_go, batch.timesteps)
    if dropout_key is None:
        return spec.policy.apply({"params": params}, *inputs, step=step)
    return spec.policy.apply({"params": params}, *inputs, deterministic=False, rngs={"dropout": dropout_key})


def make_optimizer(
    coefficients: Coefficients, step: Array | int, weight_decay: Array | float = 0.0, peak: Array | None = None
) -> optax.GradientTransformation:
    """Adam as the sources use it: clip the global norm, add L2, normalise, and let the schedule scale the result.

    The coefficients may be traced; the optimiser's state does not depend on them. After ``step`` updates the learning
    rate has fallen from its ``peak`` (None: ``coefficients.learning_rate``) on a cosine.
    """
    phase = jnp.pi * jnp.minimum(step / coefficients.lr_decay_steps, 1.0)  # at 0 it stays there
    peak = coefficients.learning_rate if peak is None else peak
    learning_rate = peak * 0.5 * (1.0 + jnp.cos(phase))
    return optax.chain(
        optax.clip_by_global_norm(coefficients.grad_clip_norm),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_adam(),
        optax.scale(-learning_rate),
    )


def descend(
    learner: Learner, loss: Callable[[Params], tuple[Array, Any]], optimizer: optax.GradientTransformation
) -> tuple[Learner, Any, Array]:
    """One optimiser step down ``loss``, a function of the learner's parameters that returns ``(loss, info)``.

    Returns:
        The learner, the info, and the gradient's global norm before it is clipped.
    """
    (_, info), grads = jax.value_and_grad(loss, has_aux=True)(learner.params)
    updates, optimizer_state = optimizer.update(grads, learner.optimizer, learner.params)
    learner = learner.replace(params=optax.apply_updates(learner.params, updates), optimizer=optimizer_state)
    return learner, info, optax.tree.norm(grads)


def follow(learner: Learner, rate: Array) -> Learner:
    """The learner with its target moved toward its parameters."""
    return learner.replace(target=optax.incremental_update(learner.params, learner.target, rate))


# --- for whoever drives an algorithm ---


def skip_nonfinite(before: TrainState, after: TrainState, metrics: Metrics) -> tuple[TrainState, Metrics]:
    """Where an update left anything that is not finite, the state before it, one step on; ``train/skipped`` says so."""
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((after.learners, metrics))]).all()
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after.learners, before.learners)
    return after.replace(learners=kept), metrics | {SKIPPED: 1.0 - finite.astype(jnp.float32)}


def mean_metrics(metrics: Metrics) -> Metrics:
    """Means over a leading axis of updates.

    Of updates that were skipped only their share counts. Where ``policy/updated`` is among the metrics, those of the
    policy are means over the updates that moved it, and 0 if none did.
    """
    if not {SKIPPED, POLICY_UPDATED} & set(metrics):
        return jax.tree.map(jnp.mean, metrics)
    kept = metrics[SKIPPED] == 0.0 if SKIPPED in metrics else jnp.ones_like(metrics[POLICY_UPDATED], bool)
    moved = kept & (metrics[POLICY_UPDATED] == 1.0) if POLICY_UPDATED in metrics else kept

    def mean(name: str, values: Array) -> Array:
        if name == SKIPPED:
            return values.mean()
        among = moved if name.startswith("policy/") and name != POLICY_UPDATED else kept
        return jnp.where(among, values, 0.0).sum() / jnp.maximum(among.sum(), 1)

    return {name: mean(name, values) for name, values in metrics.items()}
