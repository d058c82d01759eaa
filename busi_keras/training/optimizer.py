"""AdamW for networks of which a part is trained already, and whose weights may be averaged over time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from busi_keras.models.sampling import Tensor


class FineTuning(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter, ICLR 2019) that moves pretrained weights more slowly than new ones.

    Discriminative fine-tuning (Howard and Ruder, ACL 2018): at one rate for all, either new layers learn too little or
    pretrained ones forget too much.

    Args:
        pretrained: the weights that move more slowly, in groups, such as levels of an encoder.
        rate: the factor of their learning rate; weight decay is that of all weights.
        pause: steps after which one more group, from the last to the first, begins to move: gradual unfreezing (Howard
            and Ruder); 0 for all at once. Weight decay does not wait.
        average: momentum of the weights' exponential moving average (Polyak and Juditsky, 1992), 0 for none; with 0.99
            it is over about the last hundred steps. Statistics of BatchNormalization are not averaged with them.
        arguments: of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        pretrained: Sequence[Sequence[Any]],
        rate: float,
        average: float = 0.0,
        pause: int = 0,
        **arguments: Any,
    ) -> None:
        super().__init__(use_ema=average > 0, ema_momentum=average, **arguments)
        self._slower: dict[int, tuple[float, int]] = {}
        for group, weights in enumerate(reversed(pretrained)):
            self._slower |= {id(weight): (rate, group * pause) for weight in weights}

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the optimizer's own variables: two for each of the network's, with `average` three."""
        super().build(variables)
        self._pace = [self._slower.get(id(weight), (1.0, 0)) for weight in variables]

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Moves one weight, in place."""
        rate, start = self._pace[self._get_variable_index(variable)]
        if start:
            rate = rate * keras.ops.cast(self.iterations >= start, learning_rate.dtype)
        super().update_step(gradient, variable, learning_rate * rate)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Keras calls this at the end of each `fit` to put the averages in the weights' place: here `averaged` does."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the weights that it trains are their averages; afterwards they are again what they were."""
        if not self.use_ema:
            yield
            return
        pairs = list(zip(self._trainable_variables, self._model_variables_moving_average, strict=True))
        kept = [keras.ops.convert_to_numpy(weight).copy() for weight, _ in pairs]
        for weight, average in pairs:
            weight.assign(keras.ops.convert_to_numpy(average))  # a copy: JAX would share one array and then free it
        try:
            yield
        finally:
            for (weight, _), value in zip(pairs, kept, strict=True):
                weight.assign(value)
