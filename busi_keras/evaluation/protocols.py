"""What a protocol does to the way of scoring, and to the numbers that come out."""

from busi_keras.config import PHANTOM

STRETCHED = {"seed": 224, "lesion-70-30": 256}
"""By protocol, side in pixels of the stretched square on which its originals compared masks; the others' masks are
compared at each image's own size."""

HOW_TO_READ = {
    "leaky": "Protocol leaky: trained on near-duplicates of these images, so the numbers are too optimistic.",
    "seed": "Protocol seed, as in the original: near-duplicates may be on both sides of the split; the epoch, "
    "temperature and thresholds were chosen on the images scored here; masks are compared at 224 x 224, stretched.",
    "lesion-70-30": "Protocol lesion-70-30, as in the public segmentation table: lesion images only; near-duplicates "
    "may be on both sides of the split; the epoch, temperature and thresholds were chosen on the images scored here; "
    "masks are compared at 256 x 256, stretched.",
}
"""A sentence on the protocols whose numbers flatter."""


def phantom_note(trained: str, scored: str) -> list[str]:
    """A sentence on synthetic images; none where there are none.

    Args:
        trained, scored: what the images are called, as `Experiment.data`.
    """
    if trained == scored == PHANTOM:
        return ["Phantoms: synthetic images, no evidence about patients."]
    if trained == PHANTOM:
        return ["Trained on phantoms, synthetic images: not to be used on images of patients."]
    return ["Scored on phantoms, synthetic images: no evidence about patients."] if scored == PHANTOM else []
