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
        pretrained: the weights that move more slowly.
        rate: the factor of their learning rate.
        average: momentum of the weights' exponential moving average (Polyak and Juditsky, 1992), 0 for none; with 0.99
            it is over about the last hundred steps.
        arguments: of `keras.optimizers.AdamW`.
    """

    def __init__(self, pretrained: Sequence[Any], rate: float, average: float = 0.0, **arguments: Any) -> None:
        super().__init__(use_ema=average > 0, ema_momentum=average, **arguments)
        self._slower, self._rate = {id(weight) for weight in pretrained}, rate

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the optimizer's own variables, two for each of the network's."""
        super().build(variables)
        self._rates = [self._rate if id(weight) in self._slower else 1.0 for weight in variables]

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Moves one weight, in place."""
        super().update_step(gradient, variable, learning_rate * self._rates[self._get_variable_index(variable)])

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
            weight.assign(average)
        try:
            yield
        finally:
            for (weight, _), value in zip(pairs, kept, strict=True):
                weight.assign(value)
