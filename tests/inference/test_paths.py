from pathlib import Path

from busi_keras.inference.paths import output_names


def test_names_that_differ_in_case_alone_do_not_meet_on_any_disk() -> None:
    names = output_names([Path("a/IMG1.png"), Path("b/img1.png"), Path("b/Img1.jpg"), Path("/c/img1.png")])
    assert list(names.values()) == ["IMG1", "b_img1", "b_Img1_2", "c_img1"]
