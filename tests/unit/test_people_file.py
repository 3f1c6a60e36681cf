"""A CSV file of people, read before anything is sent: what is taken, and what each wrong line is told."""

import csv

import pytest

from kurir.cli.people_file import REPORTED, read_people, write_report

HEADER = "phone,channel,address,name,account\n"


def lines(text):
    people, outcome = read_people(text)
    return [(one.line, tuple(one.values.values())) for one in people], outcome


def test_lines_are_read_with_their_numbers_and_blanks_taken_off():
    found, outcome = lines(HEADER + ' 6281 ,telegram, 1001 ,Ani,\n\n6282,line,U1,"Budi, 2",acme\n')
    assert found == [(2, ("6281", "telegram", "1001", "Ani", "")), (4, ("6282", "line", "U1", "Budi, 2", "acme"))]
    assert (outcome.bad, outcome.repeats, outcome.exit_code) == ([], 0, 0)


def test_columns_stand_in_any_order_and_semicolons_are_taken():
    found, _ = lines("Address;PHONE;channel\r\n1001;6281;telegram\r\n")
    assert found == [(2, ("6281", "telegram", "1001", "", ""))]


def test_a_value_of_several_lines_keeps_the_numbers_right():
    found, outcome = lines(HEADER + '6281,telegram,1001,"Ani\nS.",\n6282,telegram,,,\n')
    assert [line for line, _ in found] == [2]
    assert [(one.person.line, one.field) for one in outcome.bad] == [(4, "address")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty: its first line must name the columns phone, channel, address, name, account"),
        ("6281,telegram,1001\n", "phone, channel, address are not there"),
        ("phone,channel\n", "address is not there"),
        ("phone,channel,address,e-mail\n", "names «e-mail», which is no column"),
        ("phone,channel,address,\n", "names «nothing», which is no column"),
        ("phone,channel,address,phone\n", "names the column phone twice"),
        (HEADER + '6281,telegram,1001,"Ani\n', "no CSV from line 2 on: a quotation mark is never closed"),
        (HEADER + '6281,telegram,1001,"A"ni,\n', "no CSV from line 2 on: a quotation mark stands inside a value"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(text, told):
    with pytest.raises(ValueError, match="it") as caught:
        read_people(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ("6281,telegram", "line", "it has 2 values, and the first line names 5 columns"),
        ("6281,telegram,1,Ani,,more", "line", "it has 6 values, and the first line names 5 columns"),
        (",telegram,1001,,", "phone", "phone is missing"),
        ("6281,,,,", "channel", "channel and address are missing"),
    ],
)
def test_a_bad_line_is_told_its_field_its_reason_and_a_fix(line, field, reason):
    found, outcome = lines(HEADER + line + "\n6289,line,U9,,\n")
    (bad,) = outcome.bad
    assert (bad.person.line, bad.field, bad.reason) == (2, field, reason)
    assert len(bad.fix) > 10
    assert [number for number, _ in found] == [3]
    assert outcome.exit_code == 1


def test_lines_that_contradict_each_other_are_bad_and_repeats_are_passed_over():
    found, outcome = lines(
        HEADER
        + "+62 81,telegram,1001,Ani,\n"
        + "6281,telegram,tg:1001,Ani,\n"
        + "6281,telegram,1001,Anna,\n"
        + "6281,telegram,2002,,\n"
        + "6282,telegram,1001,,\n"
        + "6283,telegram,2002,,\n"
        + "6281,messenger,1001,,\n"
        + "6281,facebook,1001,,\n"
        + "6281,telegram,1001,Ani,other\n"
    )
    assert [line for line, _ in found] == [2, 7, 8, 10]
    assert outcome.repeats == 2
    assert [(one.person.line, one.field, one.reason) for one in outcome.bad] == [
        (4, "name", "line 2 gives the same person another name"),
        (5, "phone", "line 2 gives the same phone another address"),
        (6, "address", "line 2 gives the same address another phone"),
    ]


def test_a_mended_report_can_be_imported(tmp_path):
    _, outcome = read_people(HEADER + '6281,,1001,"Ani, S.",\n6282,telegram\n')
    report = tmp_path / "bad.csv"
    write_report(report, outcome.bad)
    with report.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == REPORTED
    assert [(row["line"], row["field"], row["name"]) for row in rows] == [
        ("2", "channel", "Ani, S."),
        ("3", "line", ""),
    ]
    text = report.read_text("utf-8").replace("2,6281,,", "2,6281,telegram,")
    found, again = lines(text)
    assert found == [(2, ("6281", "telegram", "1001", "Ani, S.", ""))]
    assert [one.person.line for one in again.bad] == [3]
