"""AdamW for networks of which a part is trained already."""

from collections.abc import Sequence
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
        arguments: of `keras.optimizers.AdamW`.
    """

    def __init__(self, pretrained: Sequence[Any], rate: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._slower, self._rate = {id(weight) for weight in pretrained}, rate

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the optimizer's own variables, two for each of the network's."""
        super().build(variables)
        self._rates = [self._rate if id(weight) in self._slower else 1.0 for weight in variables]

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Moves one weight, in place."""
        super().update_step(gradient, variable, learning_rate * self._rates[self._get_variable_index(variable)])
