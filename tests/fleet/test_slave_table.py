"""What Manager.slaves returns is a list, and is shown as a table."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from imp_parallel_core import SlaveInfo
from imp_parallel_core._fleet.slave_table import SlaveTable, counted

INFO = SlaveInfo(
    index=0,
    name="slave 0",
    description="LocalSlave()",
    state="working",
    state_s=3.2,
    detail="",
    host="anna",
    address="",
    pid=1,
    runner_pid=2,
    tasks_done=17,
    task=18,
    context=1,
    output_path="",
)
QUEUED = replace(
    INFO,
    name="slave 10",
    state="queued",
    state_s=7300.0,
    detail='job 5: <b>no "slots"</b> & \x1b[31m',
    host="",
    tasks_done=0,
    task=None,
)


class Cells(HTMLParser):
    """Finds the texts in the cells of a table, and whatever other tags are in it."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def test_the_table_is_a_list_with_a_row_for_each_slave() -> None:
    table = SlaveTable([INFO, QUEUED])
    assert table == [INFO, QUEUED]
    lines = str(table).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["slave", "host", "state"],
        ["slave", "0", "anna"],
        ["slave", "10", "queued"],
    ]
    assert "3 s" in lines[1]
    assert "2.0 h" in lines[2]
    assert lines[0].index("state") == lines[1].index("working") == lines[2].index("queued")
    assert repr(table) == str(table)


def test_text_of_a_batch_system_can_steer_neither_a_terminal_nor_a_notebook() -> None:
    table = SlaveTable([QUEUED])
    assert "\x1b" not in str(table)
    parser = Cells()
    parser.feed(table._repr_html_())
    assert parser.cells[-1] == 'job 5: <b>no "slots"</b> & \\x1b[31m'
    assert parser.tags == {"table", "thead", "tbody", "tr", "th", "td"}


def test_a_table_of_very_many_slaves_is_cut_and_says_so() -> None:
    table = SlaveTable([INFO] * 250)
    assert len(table) == 250
    assert len(str(table).splitlines()) == 1 + 200 + 1
    assert str(table).endswith("and 50 more: 50 working")
    assert "and 50 more" in table._repr_html_()


def test_no_slaves_are_said_to_be_none() -> None:
    assert str(SlaveTable()) == "no slaves"
    assert "no slaves" in SlaveTable()._repr_html_()


def test_states_are_counted_in_an_order_that_does_not_depend_on_the_slaves() -> None:
    starting = replace(INFO, state="launching"), replace(INFO, state="connected")
    assert counted([QUEUED, *starting, INFO]) == "1 working, 2 starting, 1 queued"
    assert counted([replace(INFO, state="new"), INFO]) == "1 new, 1 working"
