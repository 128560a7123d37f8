from pathlib import Path

import pytest

from densezoo.datasets.mpii_files import read_mpii
from densezoo.errors import DataError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", r"neither a \.mat file nor JSON"),
        ("[]", "is not a list of people"),
        ('{"images": [], "annotations": []}', "is not a list of people"),
        ('[{"file_name": "a.jpg"}]', r"its first record has the keys file_name; MPII JSON has either 'img_paths'"),
        ('[{"joint_self": [[1, 2, 3]]}]', r"record 0: its joints have shape \(1, 3\), not \(16, 3\)"),
        ('[{"image": "1.jpg", "center": [1, 2]}]', r"record 0 is not a person of an MPII train\.json: .*'scale'"),
        ('[{"image": "1.jpg", "center": [-1, -1], "scale": 1}]', "has nobody with a position and a scale"),
        ('[{"image": "left.jpg", "center": [1, 2], "scale": 1}]', "image 'left' has no number for a name"),
    ],
)
def test_foreign_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "people.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_mpii(tmp_path / "people.json")
