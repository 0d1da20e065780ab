"""FLOPs of one update by formula: matrix products alone, a multiplication and an addition counting as two.

``Compiled.cost_analysis()`` cannot take the formula's place: it counts element-wise operations too (1 % more at the
reference size, 8 % at the demo's), counts the body of a scan once whatever its length, and knows only the update that
was compiled, not the plain one. ``flop_count`` compares them, and the tests hold the formula to the comparison.
"""

from __future__ import annotations

import dataclasses

from rvdt_jax.config.settings import Config


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the work depends on.

    Attributes:
        batch, steps: B and K.
        observation, action: S and A.
        width, layers: of the transformer, whose MLP is four times as wide.
        critic_width, critic_layers: hidden layers of each of the two critics.
        guided: whether critic, EMA and guidance exist.
        returns: whether return tokens exist.
    """

    batch: int
    steps: int
    observation: int
    action: int
    width: int
    layers: int
    critic_width: int
    critic_layers: int
    guided: bool
    returns: bool = True

    @property
    def period(self) -> int:
        """Tokens of a step."""
        return 3 if self.returns else 2


def sizes_of(config: Config, observation: int = 4, action: int = 2) -> Sizes:
    """The sizes that settings describe; S and A are maze2d's unless said otherwise."""
    return Sizes(
        batch=config.train.batch_size,
        steps=config.model.context_length,
        observation=observation,
        action=action,
        width=config.model.width,
        layers=config.model.layers,
        critic_width=config.model.critic_width,
        critic_layers=config.model.critic_layers,
        guided=config.loss.q_guidance,
        returns=config.policy.condition_on_return,
    )


def product(rows: int, inner: int, columns: int) -> int:
    """FLOPs of a product of matrices."""
    return 2 * rows * inner * columns


def block(sizes: Sizes, tokens: int, queries: int) -> int:
    """One transformer block of one window, forward: ``queries`` of its ``tokens`` go through it whole.

    Keys and values of all tokens; of the queries alone: the query itself, its row of scores and of the mixture
    (all heads together are as wide as the model), the output projection, and the MLP. Causality spares nothing: the
    whole square is multiplied.
    """
    width = sizes.width
    keys_and_values = 2 * product(tokens, width, width)
    attention = 2 * product(queries, width, tokens)
    return keys_and_values + attention + 2 * product(queries, width, width) + 2 * product(queries, width, 4 * width)


def embedding(sizes: Sizes, action_tokens: int) -> int:
    """The projections of one window's observations, returns and actions to tokens, forward."""
    inputs = sizes.steps * (sizes.observation + sizes.returns) + action_tokens * sizes.action
    return product(1, inputs, sizes.width)


def critic(sizes: Sizes) -> int:
    """One of the two critics at one state and action, forward."""
    width = sizes.critic_width
    hidden = product(1, width, width) * (sizes.critic_layers - 1)
    return critic_inputs(sizes) + hidden + product(1, width, 1)


def critic_inputs(sizes: Sizes) -> int:
    """The first layer of that critic."""
    return product(1, sizes.observation + sizes.action, sizes.critic_width)


def targets(sizes: Sizes) -> int:
    """Discounted sums of the n-step target: a product with the (K, K) table of discounts."""
    return product(sizes.batch, sizes.steps, sizes.steps)


def model_flops(sizes: Sizes) -> int:
    """What the plain update needs: every token through every block, backward twice as much as forward.

    Policy forward and backward (3); with a critic also the EMA policy forward (1), TD forward and backward of two
    critics at every step (6), both target critics at the last step (2), and the guidance: both critics forward (2) and
    one critic's gradient with respect to its input (1). Embeddings and heads are counted like the rest.
    """
    tokens = sizes.period * sizes.steps
    head = product(sizes.steps, sizes.width, sizes.action)
    forward = embedding(sizes, sizes.steps) + sizes.layers * block(sizes, tokens, tokens) + head
    if not sizes.guided:
        return sizes.batch * 3 * forward
    pairs = sizes.batch * sizes.steps
    return sizes.batch * 4 * forward + critic(sizes) * (9 * pairs + 2 * sizes.batch) + targets(sizes)


def executed_flops(sizes: Sizes) -> int:
    """What our update multiplies.

    The last action token is left out. In the last block only the K state tokens are queries; in the EMA policy only
    the one that bootstraps. Backward is twice forward, less what nobody needs: gradients of inputs that are data.
    """
    tokens = sizes.period * sizes.steps - 1
    before_last = (sizes.layers - 1) * block(sizes, tokens, tokens)
    inputs = embedding(sizes, sizes.steps)
    head = product(1, sizes.width, sizes.action)
    blocks = before_last + block(sizes, tokens, sizes.steps)
    policy = 3 * (blocks + sizes.steps * head) + 2 * inputs
    if not sizes.guided:
        return sizes.batch * policy
    ema = inputs + before_last + block(sizes, tokens, 1) + head
    pairs = sizes.batch * sizes.steps
    td = pairs * 2 * (3 * critic(sizes) - critic_inputs(sizes)) + 2 * sizes.batch * critic(sizes)
    guidance = pairs * (2 * critic(sizes) + critic(sizes))
    return sizes.batch * (policy + ema) + td + guidance + targets(sizes)
