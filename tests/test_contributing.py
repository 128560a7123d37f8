"""The examples of CONTRIBUTING.md are parts like any other: they pass the contract tests as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_examples_pass_the_contract_tests(tmp_path):
    blocks = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert [name for name, _ in blocks] == ["excite", "plain_pyramid"]
    for name, text in blocks:
        (tmp_path / f"{name}.py").write_text(text)
    plugins = [argument for name, _ in blocks for argument in ("-p", name)]
    chosen = "(PlainPyramid or excite) and (StackedHourglass or FPN or PlainPyramid)"
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *plugins]
    found = subprocess.run(
        [*command, "tests/contracts/test_networks.py", "-k", chosen],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    passed = int(re.search(r"(\d+) passed", found.stdout)[1])
    assert passed > 30, found.stdout
