"""Lists of pairs, as spreadsheets save them."""

import pytest

from nst.gallery.pairs import Pair, default_pairs, read_pairs


@pytest.fixture
def list_of(tmp_path):
    """Write a list of pairs; return its path."""

    def write(data):
        path = tmp_path / "pairs.csv"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    "data",
    [
        b"content,style\na/one.jpg,b/two.png\n",
        b"\xef\xbb\xbfContent;Style;note\r\na/one.jpg;b/two.png;\r\n;;\r\n",
        b"content,style,name\na/one.jpg, b/two.png ,\n",
    ],
    ids=["commas", "Excel", "no name"],
)
def test_a_list_is_read_as_a_spreadsheet_saves_it(list_of, tmp_path, data):
    expected = Pair("one_two", tmp_path / "a" / "one.jpg", tmp_path / "b" / "two.png")
    assert read_pairs(list_of(data)) == [expected]


def test_a_name_column_tells_pairs_of_equal_file_names_apart(list_of):
    path = list_of("name,content,style\nAnna,a/1.jpg,s.jpg\nBjörn,b/1.jpg,s.jpg\n".encode())
    assert [pair.name for pair in read_pairs(path)] == ["Anna", "Björn"]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"", "empty file.*content,style"),
        (b"content\na.jpg\n", "columns content: .*content,style"),
        (b"content,style\n\n", "no pairs"),
        (b"content,style\na.jpg,b.jpg\nc.jpg\n", "line 3 .*no style"),
        (b"content,style\n,b.jpg\n", "line 2 .*no content"),
        (b"content,style\n\xe9.jpg,b.jpg\n", "UTF-8"),
        (b"content,style\na/1.jpg,s.jpg\nb/1.jpg,s.jpg\n", r"line 3 .*overwrite 1_s\.jpg"),
        (b"content,style,name\na.jpg,b.jpg,../x\n", r"line 2 .*name \.\./x"),
        (b"content,style,name\na.jpg,b.jpg,gallery\n", "line 2 .*name gallery"),
    ],
)
def test_a_bad_list_is_refused(list_of, data, key):
    with pytest.raises(ValueError, match=key) as refused:
        read_pairs(list_of(data))
    assert "\n" not in str(refused.value)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(OSError, match=r"none\.csv cannot be read"):
        read_pairs(tmp_path / "none.csv")


def test_the_images_of_the_default_pairs_exist():
    for pair in default_pairs():
        assert pair.content.is_file()
        assert pair.style.is_file()
