from dataclasses import replace

from densezoo.comparison.findings import judge
from densezoo.comparison.power import SeedsNeeded
from densezoo.comparison.report import page
from densezoo.comparison.report_blocks import Section
from densezoo.comparison.report_tables import comparison_table, ranking_table


def test_the_ranking_says_how_it_is_sorted(made_up, tmp_path, read_page):
    for higher, order in ((True, "descending"), (False, "ascending")):
        prepared = replace(made_up.prepared, higher_is_better=higher)
        tables = [
            each(judge(made_up.study, prepared, made_up.arms, tmp_path)) for each in (ranking_table, comparison_table)
        ]
        text = page("t", [Section("k", "s", tables)])
        attributes = read_page(text).attributes
        assert [value for name, value in attributes if name == "aria-sort"] == [order]
        assert f'<th scope="col" aria-sort="{order}">mean</th>' in text
        assert attributes.count(("role", "group")) == 2  # no landmark for every table
        assert ("role", "region") not in attributes


def test_seeds_that_no_study_has_are_named_in_the_table(made_up, tmp_path):
    found = judge(made_up.study, made_up.prepared, made_up.arms, tmp_path)
    comparisons = found.conclusions.comparisons
    for place, needed in enumerate((SeedsNeeded(7, 1.0), SeedsNeeded(None, 1.0), SeedsNeeded(None, 1e-9))):
        comparisons[place] = replace(comparisons[place], needed=needed)
    comparisons[3] = replace(comparisons[3], needed=SeedsNeeded(None, 1e-9), reason="there is none")
    table = comparison_table(found)
    assert table.columns[-1] == "seeds needed"
    assert [row[-1].text for row in table.rows[:4]] == ["7", "> 1,000", "more images", "–"]
