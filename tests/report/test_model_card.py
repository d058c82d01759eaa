import json
from dataclasses import replace

from busi_keras.card import Card
from busi_keras.report.model_card import CONVENTIONS, model_card

CARD = Card(
    "multitask-cnn", 64, "BUSI", {"train": {"benign": 3}}, "kfold", "none", "mobilenet-v2",
    {"multitask-cnn": {"trained": 12, "chosen": 9}}, "test",
    {
        "dice": 0.75, "normal_clean": None, "n": {"malignant": 4, "benign": 3, "normal": 0},
        "auc": {"malignant": 0.9, "normal": None},
        "macro_f1": 1 / 3, "confusion": [[3, 0, 0], [3, 1, 0], [0, 0, 0]],
        "classes": {"malignant": {"precision": 0.5, "recall": 0.25, "specificity": 0.8, "f1": 1 / 3, "support": 4,
                                  "auc": 0.9},
                    "normal": {"precision": None, "recall": None, "f1": None, "support": 0, "auc": None}},
    },
    {"python": "3.11"}, "2026-11-25", failures=("a.png: missed",),
    intervals={"dice": (0.5, 0.875), "malignant_auc": (0.8, 0.95)},
    thresholds={"screening": 0.25}, operating={"screening": {"sensitivity": 0.9, "specificity": None}},
)  # fmt: skip


def test_a_card_from_before_specificity_says_that_it_has_none() -> None:
    fields = json.loads(CARD.to_json())
    del fields["scores"]["classes"]["malignant"]["specificity"]
    page = model_card(Card.from_json(json.dumps(fields)))
    assert "| malignant | 0.5000 | 0.2500 | not defined | 0.3333 | 4 | 0.9000 |" in page


def test_its_page_has_scores_with_intervals_and_says_what_is_not_defined() -> None:
    page = model_card(CARD)
    assert page.startswith("# Model card: multitask-cnn, mobilenet-v2\n")
    assert "| dice | 0.75 | 0.5 to 0.875 |" in page
    assert "| normal clean | not defined |  |" in page
    assert "| malignant auc | 0.9 | 0.8 to 0.95 |" in page
    assert "| malignant | 0.5000 | 0.2500 | 0.8000 | 0.3333 | 4 | 0.9000 |" in page
    assert "| normal | not defined | not defined | not defined | not defined | 0 | not defined |" in page
    assert "| macro mean | not defined | not defined |  | 0.3333 | 7 |  |" in page
    assert "- a.png: missed" in page
    on = "- screening: probability of malignant 0.250 or more"
    assert f"{on}; on the test images sensitivity 0.900, specificity not defined" in page


def test_an_ensemble_is_called_one_and_two_stages_are_not() -> None:
    stage = CARD.epochs["multitask-cnn"]
    pair = replace(CARD, epochs={"multitask-cnn": stage, "multitask-cnn-2": stage})
    assert model_card(pair).startswith("# Model card: multitask-cnn, mobilenet-v2, ensemble of 2\n")
    staged = replace(CARD, approach="two-stage", epochs={"segmenter": stage, "classifier": stage})
    assert model_card(staged).startswith("# Model card: two-stage, mobilenet-v2\n")


def test_it_says_how_its_scores_must_be_read_and_whose_terms_hold() -> None:
    note = "Protocol leaky: near-duplicates of these images were trained on; the numbers are too good."
    page = model_card(replace(CARD, data="Dataset_BUSI_with_GT", scores={**CARD.scores, "note": note}))
    assert f"## Scores on the test images\n\n**{note}**\n\n{CONVENTIONS}\n\n| score |" in page
    assert "Al-Dhabyani" in page
    phantoms, own = (model_card(replace(CARD, data=data)) for data in ("phantom", "BUSI-WHU"))
    assert "Code: MIT. Phantoms: made by this code." in phantoms
    assert "Code: MIT. BUSI-WHU: ask the source of these images for its terms." in own
    assert "Al-Dhabyani" not in phantoms + own
