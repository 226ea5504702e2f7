"""Blanks: the statements between START CODE HERE and END CODE HERE, for students to fill in."""

import ast
import re
import textwrap


def blank_out(source):
    """Empty the marked regions of a cell: `x = f(y)` becomes `x = None`, and `f(x)` `None`.

    Comments are kept. Raises ValueError if a region has no end.
    """
    lines = source.splitlines()
    if any(region.stop > len(lines) for region in _regions(source)):
        raise ValueError(f"a region has no end: add ### END CODE HERE ### to\n{source}")
    for node in sorted(_answers(source), key=lambda node: -node.lineno):
        before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
        comment = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = [before + _blank(node, source) + comment]
    return "\n".join(lines)


def has_blank(source):
    """Return whether a cell or a function has a blank, filled in or not."""
    return bool(_regions(source))


def in_blank(source, line):
    """Return whether a line of a cell, counted from 1, is in a blank."""
    return any(line in region for region in _regions(source))


def still_empty(source):
    """Return whether a blank of a cell or a function is still `None`, or was deleted."""
    source = textwrap.dedent(source)
    try:
        answers = list(_answers(source))
    except SyntaxError:  # not Python, but not empty either
        return False
    values = [getattr(node, "value", node) for node in answers]  # of an assignment, a return
    is_none = any(isinstance(value, ast.Constant) and value.value is None for value in values)
    filled = {line for node in answers for line in range(node.lineno, node.end_lineno + 1)}
    return is_none or any(map(filled.isdisjoint, _regions(source)))


def _regions(source):
    """Return the line numbers of each region; one without an end extends to the last line."""
    text = f"{source}\n"
    marks = re.finditer(r"(?s)### START CODE HERE.*?(?:### END CODE HERE|\Z)", text)
    lines = [[text.count("\n", 0, at) + 1 for at in mark.span()] for mark in marks]
    return [range(start + 1, end) for start, end in lines]


def _answers(source):
    """Yield the statements in the regions, except compound ones such as `for` and `with`."""
    for node in ast.walk(ast.parse(source)) if has_blank(source) else ():
        is_simple = isinstance(node, ast.stmt) and not hasattr(node, "body")
        if is_simple and in_blank(source, node.lineno):
            yield node


def _blank(statement, source):
    if isinstance(statement, ast.Return):
        return "return None"
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return " = ".join([*(ast.get_source_segment(source, target) for target in targets), "None"])
