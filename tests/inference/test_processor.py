import platform
from pathlib import Path

import pytest

from busi_keras.inference.processor import adds_8_bit_products_exactly


@pytest.mark.parametrize(
    ("flags", "exact"),
    [
        ("flags\t\t: fpu avx2 avx512f", False),
        ("flags\t\t: avx2 avx_vnni", True),
        ("flags : avx512_vnni", True),
        ("", True),
    ],
)
def test_vnni_is_read_from_the_processors_features(
    flags: str, exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text(f"model name : one\n{flags}\n")
    assert adds_8_bit_products_exactly(tmp_path / "cpuinfo") == exact
    assert adds_8_bit_products_exactly(tmp_path / "nowhere")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert adds_8_bit_products_exactly(tmp_path / "cpuinfo")
