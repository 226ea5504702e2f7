"""Options: two forms of the same argument, switches, and one sentence for what is refused."""

from pathlib import Path

import pytest

from nst.core.cli import Parser, number, one_of, user_path, whole_number


def is_picture(word):
    return word.endswith(".jpg")


@pytest.fixture
def parser():
    """A parser with the arguments of `nst run`, and a list."""
    parser = Parser(prog="nst try")
    parser.add_input("notebook", fits=lambda word: not is_picture(word), type=user_path)
    parser.add_input("content", fits=is_picture)
    parser.add_input("style", fits=is_picture, dest="styles", action="append")
    parser.add_argument("--size", type=whole_number(16))
    parser.add_argument("--colors", "--colours", type=one_of("style", "content"))
    parser.add_argument("--strength", type=number(0, 1, {"light": 0.25, "strong": 0.75}))
    parser.add_switch("resume")
    return parser


def refused(parser, *arguments):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(arguments)
    sentence = stop.value.code
    assert sentence.startswith("nst try: ")
    assert sentence.endswith(": nst try --help lists what can be given")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.jpg", "b.jpg", "c.jpg"],
        ["--content", "a.jpg", "b.jpg", "c.jpg"],
        ["b.jpg", "--content=a.jpg", "--style", "c.jpg"],
        ["a.jpg", "--style", "b.jpg", "--size", "20", "--style=c.jpg"],
        ["a.jpg", "--size=20", "b.jpg", "--", "c.jpg"],
        ["--", "a.jpg", "b.jpg", "c.jpg"],
    ],
)
def test_an_input_is_given_by_name_or_by_position(parser, arguments):
    args = parser.parse_args(arguments)
    assert (args.content, sorted(args.styles), args.notebook) == ("a.jpg", ["b.jpg", "c.jpg"], None)


def test_a_word_goes_to_the_input_that_it_fits(parser):
    args = parser.parse_args(["a.jpg", "old.ipynb"])
    assert (args.content, args.notebook) == ("a.jpg", Path("old.ipynb"))
    assert "new.ipynb is one argument too many" in refused(parser, "old.ipynb", "new.ipynb")


def test_a_file_name_may_begin_with_a_hyphen(parser):
    assert parser.parse_args(["--content=-a.jpg"]).content == "-a.jpg"
    assert parser.parse_args(["--", "-a.jpg"]).content == "-a.jpg"


def test_a_missing_input_is_named():
    parser = Parser(prog="nst try")
    parser.add_input("content", required=True)
    assert "CONTENT is missing" in refused(parser)


@pytest.mark.parametrize(
    ("arguments", "resume"),
    [
        ([], None),
        (["--resume"], True),
        (["--resume=0"], False),
        (["--resume", "0"], False),
        (["--resume", "yes"], True),
    ],
)
def test_a_switch_takes_a_value_and_needs_none(parser, arguments, resume):
    assert parser.parse_args(arguments).resume is resume


def test_a_switch_leaves_the_next_word_alone(parser):
    args = parser.parse_args(["--resume", "a.jpg"])
    assert (args.resume, args.content) == (True, "a.jpg")


@pytest.mark.parametrize("spelling", ["--colors", "--colours"])
def test_both_spellings_of_colors_are_taken(parser, spelling):
    assert parser.parse_args([f"{spelling}=content"]).colors == "content"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("--contents=x.jpg", "--content"), ("--SIZE=20", "--size"), ("--res", "--resume")],
)
def test_an_unknown_option_is_refused_with_the_right_spelling(parser, given, meant):
    name = given.partition("=")[0]
    assert f"unknown option {name}, did you mean {meant}:" in refused(parser, given)


def test_an_option_like_no_other_gets_no_suggestion(parser):
    assert "unknown option --xyzzy:" in refused(parser, "--xyzzy", "word")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--strength=very", "very is not light, strong or a number from 0 to 1, such as 0.5"),
        ("--strength=0,5", "0,5 is not light, strong or a number from 0 to 1, such as 0.5"),
        ("--strength=2", "2 is not light"),
        ("--strength=nan", "nan is not light"),
        ("--colors=both", "both is not one of style, content"),
        ("--size=15", "15 is not a whole number of 16 or more"),
        ("--resume=perhaps", "perhaps is neither 1 nor 0"),
    ],
)
def test_a_bad_value_is_refused_with_the_values_to_choose_from(parser, given, wanted):
    assert wanted in refused(parser, given)


def test_numbers_have_names():
    strength = number(0, 1, {"light": 0.25})
    assert (strength("light"), strength("0.6"), strength("1")) == (0.25, 0.6, 1.0)
