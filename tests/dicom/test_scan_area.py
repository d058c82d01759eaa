import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from busi_keras.dicom.scan_area import ScanArea


@st.composite
def areas(draw: st.DrawFn) -> ScanArea:
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    x0, y0 = draw(st.integers(0, columns - 1)), draw(st.integers(0, rows - 1))
    x1, y1 = draw(st.integers(x0 + 1, columns)), draw(st.integers(y0 + 1, rows))
    return ScanArea((x0, y0, x1, y1), rows, columns)


@given(areas(), st.sampled_from([(), (3,)]), st.sampled_from([bool, np.uint8, np.float32]))
def test_what_is_pasted_comes_back_and_around_it_is_nothing(
    area: ScanArea, channels: tuple[int, ...], dtype: type
) -> None:
    x0, y0, x1, y1 = area.box
    values = np.ones((y1 - y0, x1 - x0, *channels), dtype)
    frame = area.paste(values)
    assert frame.shape == (area.rows, area.columns, *channels)
    assert frame.dtype == values.dtype
    assert frame.sum() == values.size
    np.testing.assert_array_equal(area.crop(frame), values)


@given(areas(), st.data())
def test_a_pixel_of_the_crop_is_the_same_pixel_of_the_frame(area: ScanArea, data: st.DataObject) -> None:
    frame = np.arange(area.rows * area.columns).reshape(area.rows, area.columns)
    x0, y0, x1, y1 = area.box
    x, y = data.draw(st.integers(x0, x1 - 1)), data.draw(st.integers(y0, y1 - 1))
    assert area.crop(frame)[y - y0, x - x0] == frame[y, x]
    assert area.paste(area.crop(frame))[y, x] == frame[y, x]


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_whole_frame_is_itself(rows: int, columns: int) -> None:
    frame = np.arange(rows * columns).reshape(rows, columns)
    area = ScanArea.whole(rows, columns)
    assert area.is_whole
    np.testing.assert_array_equal(area.crop(frame), frame)
    np.testing.assert_array_equal(area.paste(frame), frame)
