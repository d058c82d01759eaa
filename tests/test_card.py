import json
from dataclasses import replace

from busi_keras.card import Card

CARD = Card(
    "multitask-cnn", 64, "BUSI", {"train": {"benign": 3}}, "kfold", "none", "mobilenet-v2",
    {"multitask-cnn": {"trained": 12, "chosen": 9}}, "test",
    {"dice": 0.75, "normal_clean": None},
    {"python": "3.11"}, "2026-11-25", failures=("a.png: missed",),
    intervals={"dice": (0.5, 0.875), "malignant_auc": (0.8, 0.95)},
    thresholds={"screening": 0.25}, operating={"screening": {"sensitivity": 0.9, "specificity": None}},
)  # fmt: skip


def test_a_card_is_read_as_it_was_written() -> None:
    assert Card.from_json(CARD.to_json()) == CARD


def test_a_card_from_before_intervals_has_none() -> None:
    fields = json.loads(CARD.to_json())
    del fields["intervals"]
    assert Card.from_json(json.dumps(fields)) == replace(CARD, intervals={})
