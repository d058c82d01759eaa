"""Which images a protocol uses, before anything is trained."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from busi_keras.config import Experiment
from busi_keras.data import source as source_module
from busi_keras.data.busi import Record, fingerprint, read_busi
from busi_keras.data.patients import add_patients
from busi_keras.data.split import PARTS
from busi_keras.errors import UsageError
from busi_keras.evaluation.intervals import Interval
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.training.run import Run
from busi_keras.workflows.compare import compare
from busi_keras.workflows.data_set import new_split, source_of
from busi_keras.workflows.experiment import completed_experiment
from busi_keras.workflows.looks import look_over

ASKED = Experiment("multitask-cnn", "phantom")


def of_class(records: list[Record], *names: str) -> list[Record]:
    return [record for record in records if record.name.split("/")[0] in names]


def test_lesion_protocol_leaves_normal_images_out_and_needs_none(phantom_folder: Path) -> None:
    records = read_busi(phantom_folder)
    asked = replace(ASKED, protocol="lesion-70-30", folds=3)
    lesions = of_class(records, "benign", "malignant")
    split = new_split(asked, records)
    assert {*split.train, *split.validation} == {record.name for record in lesions}
    assert split.test == ()
    assert new_split(asked, lesions) == split
    with pytest.raises(UsageError, match="class malignant has no usable image, but benign and malignant are"):
        new_split(asked, of_class(records, "benign", "normal"))


def test_near_duplicates_that_are_known_are_not_looked_for(phantom_folder: Path) -> None:
    records = read_busi(phantom_folder)
    names = sorted(record.name for record in records if record.name.startswith("benign"))
    asked = replace(ASKED, protocol="kfold", folds=3)
    splits = [new_split(replace(asked, fold=fold), records, near_duplicates=[names[:4]]) for fold in range(3)]
    for split in splits:
        assert sum(not set(names[:4]).isdisjoint(split.part(part)) for part in PARTS) == 1
    assert new_split(asked, records, near_duplicates=[]) == new_split(asked, records)


@pytest.mark.parametrize("protocol", ["grouped", "kfold"])
def test_images_of_one_patient_stay_together(phantom_folder: Path, tmp_path: Path, protocol: str) -> None:
    data = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    records = read_busi(data)
    names = [record.name for record in records]
    patients = [names[:3], [names[5], names[-1]]]
    add_patients(data, patients)
    for seed in range(4):
        split = new_split(replace(ASKED, protocol=protocol, folds=3, seed=seed), records, near_duplicates=[])
        for patient in patients:
            assert sum(not set(patient).isdisjoint(split.part(part)) for part in PARTS) == 1


@pytest.mark.parametrize("broken", ["mask", "image"])
def test_folds_are_of_one_partition_whoever_looked_for_near_duplicates(
    phantom_folder: Path, tmp_path: Path, broken: str
) -> None:
    data = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    frame = (data / "benign" / "benign (1).png").read_bytes()
    mask = (data / "benign" / "benign (1)_mask.png").read_bytes()
    for number in (80, 90, 91):  # of one frame; what is broken of the first changes the group's name
        (data / "benign" / f"benign ({number}).png").write_bytes(frame)
        (data / "benign" / f"benign ({number})_mask.png").write_bytes(mask)
    bad = data / "benign" / ("benign (1)_mask.png" if broken == "mask" else "benign (1).png")
    bad.write_bytes(bad.read_bytes()[:60])
    records = read_busi(data)
    asked = replace(ASKED, protocol="kfold", folds=3, skip_bad=True)
    first = new_split(asked, records)
    known = look_over(records).groups
    copies = [f"benign/benign ({number}).png" for number in (80, 90, 91)]
    assert known == [["benign/benign (1).png", *copies] if broken == "mask" else copies]
    assert new_split(asked, records, near_duplicates=known) == first
    tested = [
        name for fold in range(3) for name in new_split(replace(asked, fold=fold), records, near_duplicates=known).test
    ]
    assert sorted(tested) == sorted({record.name for record in records} - {"benign/benign (1).png"})


def test_the_other_protocols_need_all_three_classes(phantom_folder: Path) -> None:
    with pytest.raises(UsageError, match="class normal has no usable image"):
        new_split(replace(ASKED, protocol="kfold"), of_class(read_busi(phantom_folder), "benign", "malignant"))


def test_a_run_whose_images_are_gone_names_their_folder(phantom_folder: Path, tmp_path: Path) -> None:
    records = read_busi(phantom_folder)
    run = Run(tmp_path / "run")
    split = new_split(ASKED, records, near_duplicates=[])
    run.begin(replace(ASKED, data="scans", fingerprint=fingerprint(records)), split, tmp_path / "scans")
    with pytest.raises(UsageError, match=r"run was begun on .*scans, which is not there; put it back, or name"):
        source_of(run, "auto")
    assert source_of(run, str(phantom_folder)).folder == phantom_folder
    shutil.copytree(phantom_folder, tmp_path / "scans")
    assert source_of(run, "auto").folder == tmp_path / "scans"


def test_a_copied_run_on_real_images_is_not_offered_phantoms(
    phantom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BUSI_DATA_DIR", raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source_module, "reachable", lambda url, **_: False)
    records = read_busi(phantom_folder)
    run = Run(tmp_path / "run")
    split = new_split(ASKED, records, near_duplicates=[])
    run.begin(replace(ASKED, data="scans", fingerprint=fingerprint(records)), split, phantom_folder)
    run.data_file.unlink()
    with pytest.raises(UsageError, match=r"does not answer; download .* and name its folder: --data"):
        source_of(run, "auto")
    assert not (tmp_path / "data").exists()


def test_a_backbone_waits_for_the_heads_and_learns_in_the_last_epoch_at_any_rate(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"weights")
    found = {"data": "scans", "fingerprint": "0", "backend": "tensorflow"}
    for epochs, frozen in ((1, 0), (2, 1), (3, 2), (9, 2)):
        given = {"epochs": epochs, "weights": str(tmp_path / "weights.h5"), "backbone": "mobilenet-v2"}
        assert completed_experiment(given, found, phantom=False).frozen_epochs == frozen


def test_a_study_draws_the_images_of_one_patient_together(
    make_study: Callable[..., Path], phantom_folder: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(phantom_folder, tmp_path / "data"))
    records = read_busi(data)
    add_patients(data, [[record.name for record in records]])
    looks = look_over(records)
    assert [sorted(group) for group in looks.patients] == [sorted(record.name for record in records)]

    study = StudyFolder(make_study(tmp_path / "study", "kfold", range(2)))
    study.write_looks(looks.groups, looks.marks, [])
    apart = study.sum_up(resamples=20).intervals["lesion_dice"]
    study.write_looks(looks.groups, looks.marks, looks.patients)
    together = study.sum_up(resamples=20).intervals["lesion_dice"]
    assert apart.low < apart.estimate < apart.high
    assert together == Interval(pytest.approx(apart.estimate), None, None)  # one patient tells nothing of others
    other = make_study(tmp_path / "other", "kfold", range(2), dice=0.6)
    difference = compare(study.folder, other, resamples=20).differences["lesion_dice"].interval
    assert (difference.low, difference.high) == (None, None)
    halves = [[record.name for record in records[start::2]] for start in (0, 1)]
    study.write_looks(looks.groups, looks.marks, halves)
    two = study.sum_up(resamples=20).intervals["lesion_dice"]
    assert two.high - two.low < apart.high - apart.low


def test_plain_folds_tear_near_duplicates_apart_and_grouped_ones_do_not(phantom_folder: Path) -> None:
    records = read_busi(phantom_folder)
    names = sorted(record.name for record in records if record.name.startswith("benign"))
    groups = [names[start : start + 4] for start in range(0, 24, 4)]

    def torn(protocol: str) -> int:
        split = new_split(replace(ASKED, protocol=protocol, folds=3), records, near_duplicates=groups)
        return sum(sum(not set(group).isdisjoint(split.part(part)) for part in PARTS) > 1 for group in groups)

    assert torn("kfold") == 0 < torn("leaky")
