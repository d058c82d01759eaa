from busi_keras.evaluation.failures import worst
from busi_keras.evaluation.scores import ImageScore, Overlap


def scored(name: str, label: int, predicted: int, dice: float, true_area: float, predicted_area: float) -> ImageScore:
    probabilities = tuple(0.8 if i == predicted else 0.1 for i in range(3))
    return ImageScore(name, label, predicted, probabilities, Overlap(dice, dice / 2), true_area, predicted_area)


def test_the_worst_images_come_first_and_good_ones_not_at_all() -> None:
    found = worst(
        [
            scored("good", 0, 0, 0.9, 0.1, 0.1),
            scored("missed", 1, 1, 0.0, 0.2, 0.0),
            scored("wrong", 1, 0, 0.0, 0.1, 0.05),
            scored("clean", 2, 2, 0.0, 0.0, 0.03),
            scored("spread", 0, 0, 0.4, 0.1, 0.4),
        ]
    )
    assert found == [
        "wrong: classified as benign with probability 0.80 and the lesion missed, something else outlined",
        "missed: no lesion outlined, though one covers 20.0% of it",
        "clean: 3.0% of it outlined, though there is no lesion",
        "spread: Dice 0.40, 4.0 times the lesion's area",
    ]


def test_no_more_than_asked_for() -> None:
    assert len(worst([scored(str(i), 1, 0, 0.0, 0.1, 0.1) for i in range(30)], 10)) == 10
