import json
from dataclasses import replace

from busi_keras.card import CONVENTIONS, Card

CARD = Card(
    "multitask-cnn", 64, "BUSI", {"train": {"benign": 3}}, "kfold", "none", "mobilenet-v2",
    {"multitask-cnn": {"trained": 12, "chosen": 9}}, "test",
    {
        "dice": 0.75, "normal_clean": None, "n": {"benign": 3}, "auc": {"malignant": 0.9, "normal": None},
        "classes": {"malignant": {"precision": 0.5, "recall": 0.25, "specificity": 0.8, "f1": 1 / 3, "support": 4,
                                  "auc": 0.9},
                    "normal": {"precision": None, "recall": None, "f1": None, "support": 0, "auc": None}},
    },
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


def test_a_card_from_before_specificity_says_that_it_has_none() -> None:
    fields = json.loads(CARD.to_json())
    del fields["scores"]["classes"]["malignant"]["specificity"]
    assert (
        "| malignant | 4 | 0.5 | 0.25 | not defined | 0.3333 | 0.9 |"
        in Card.from_json(json.dumps(fields)).to_markdown()
    )


def test_its_page_has_scores_with_intervals_and_says_what_is_not_defined() -> None:
    page = CARD.to_markdown()
    assert page.startswith("# Model card: multitask-cnn, mobilenet-v2\n")
    assert "| dice | 0.75 | 0.5 to 0.875 |" in page
    assert "| normal clean | not defined |  |" in page
    assert "| malignant auc | 0.9 | 0.8 to 0.95 |" in page
    assert "| malignant | 4 | 0.5 | 0.25 | 0.8 | 0.3333 | 0.9 |" in page
    assert "| normal | 0 " not in page
    assert "- a.png: missed" in page
    on = "- screening: probability of malignant 0.250 or more"
    assert f"{on}; on the test images sensitivity 0.900, specificity not defined" in page


def test_an_ensemble_is_called_one_and_two_stages_are_not() -> None:
    stage = CARD.epochs["multitask-cnn"]
    pair = replace(CARD, epochs={"multitask-cnn": stage, "multitask-cnn-2": stage})
    assert pair.to_markdown().startswith("# Model card: multitask-cnn, mobilenet-v2, ensemble of 2\n")
    staged = replace(CARD, approach="two-stage", epochs={"segmenter": stage, "classifier": stage})
    assert staged.to_markdown().startswith("# Model card: two-stage, mobilenet-v2\n")


def test_it_says_how_its_scores_must_be_read_and_whose_terms_hold() -> None:
    note = "Protocol leaky: near-duplicates of these images were trained on; the numbers are too good."
    page = replace(CARD, data="Dataset_BUSI_with_GT", scores={**CARD.scores, "note": note}).to_markdown()
    assert f"## Scores on the test images\n\n**{note}**\n\n{CONVENTIONS}\n\n| score |" in page
    assert "Al-Dhabyani" in page
    phantoms, own = replace(CARD, data="phantom").to_markdown(), replace(CARD, data="BUSI-WHU").to_markdown()
    assert "Code: MIT. Phantoms: made by this code." in phantoms
    assert "Code: MIT. BUSI-WHU: ask the source of these images for its terms." in own
    assert "Al-Dhabyani" not in phantoms + own
