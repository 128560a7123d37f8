from densezoo.comparison.report_blocks import Cell, Code, Section, Table, Text, markdown


def test_markdown_escapes_what_it_would_read():
    text = markdown("a_b *c*", [Section("k", "_x_ left_hip", [Text("a | b <i> `c` [d](e)"), Code("t", "``` x")])])
    assert text.startswith("# a_b \\*c\\*\n\n## \\_x\\_ left_hip\n\na \\| b &lt;i&gt; \\`c\\` \\[d\\](e)\n\n")
    assert "````text\n``` x\n````" in text
    table = markdown("t", [Section("k", "s", [Table("c", ["a", "b"], [[Cell("x|y\nz"), Cell("tie", 1, "tie")]])])])
    assert "| x\\|y z | ≈ tie |" in table
