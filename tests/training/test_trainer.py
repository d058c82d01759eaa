import pytest

from busi_keras.training.trainer import validation_score

BOTH = {"val_dice": 0.8, "val_iou": 0.65, "val_accuracy": 0.6}
MASK = {"val_dice": 0.8, "val_iou": 0.7}
LABEL = {"val_accuracy": 0.6}


@pytest.mark.parametrize(
    ("row", "by_dice_and_accuracy", "by_iou"), [(BOTH, 0.7, 0.65), (MASK, 0.8, 0.7), (LABEL, 0.6, 0.6)]
)
def test_an_epoch_is_chosen_by_what_the_network_has(
    row: dict[str, float], by_dice_and_accuracy: float, by_iou: float
) -> None:
    assert validation_score(row, "dice-accuracy") == pytest.approx(by_dice_and_accuracy)
    assert validation_score(row, "iou") == by_iou
