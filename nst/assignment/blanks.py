"""Blanks: the statements between START CODE HERE and END CODE HERE, for students to fill in."""

import ast
import textwrap


def blank_out(source):
    """Empty the marked regions of a cell: `x = f(y)` becomes `x = None`, and `f(x)` `None`.

    Comments are kept. Raises ValueError if a region has no end.
    """
    lines = source.splitlines()
    regions = _regions(lines)
    if regions and regions[-1][-1] == len(lines):
        raise ValueError(f"a region has no end: add ### END CODE HERE ### to\n{source}")
    for node in sorted(_answers(source, regions), key=lambda node: -node.lineno):
        before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
        comment = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = [before + _blank(node) + comment]
    return "\n".join(lines)


def has_blank(source):
    """Return whether a cell or a function has a blank, filled in or not."""
    return bool(_regions(source.splitlines()))


def in_blank(source, line):
    """Return whether a line of a cell, counted from 1, is in a blank."""
    return any(line in region for region in _regions(source.splitlines()))


def still_empty(source):
    """Return whether a blank of a cell or a function is still `None`, or was deleted."""
    source = textwrap.dedent(source)
    try:
        answers = list(_answers(source, regions := _regions(source.splitlines())))
    except SyntaxError:  # not Python, but not empty either
        return False
    filled = {line for node in answers for line in range(node.lineno, node.end_lineno + 1)}
    return any(map(_is_blank, answers)) or any(filled.isdisjoint(region) for region in regions)


def _regions(lines):
    """Return the line numbers of each region; one without an end extends to the last line."""
    regions, inside = [], False
    for number, line in enumerate(lines, 1):
        if "### START CODE HERE" in line:
            regions.append(range(number + 1, len(lines) + 1))
            inside = True
        elif "### END CODE HERE" in line and inside:
            regions[-1] = range(regions[-1].start, number)
            inside = False
    return regions


def _answers(source, regions):
    """Yield the statements in the regions, except compound ones such as `for` and `with`."""
    marked = {line for region in regions for line in region}
    for node in ast.walk(ast.parse(source)) if marked else ():
        if isinstance(node, ast.stmt) and node.lineno in marked and not hasattr(node, "body"):
            yield node


def _blank(statement):
    if isinstance(statement, ast.Return):
        return "return None"
    if not isinstance(statement, ast.Assign):
        return "None"
    return " = ".join([*map(_target, statement.targets), "None"])


def _is_blank(statement):
    value = getattr(statement, "value", statement)  # of an assignment, an expression, a return
    return isinstance(value, ast.Constant) and value.value is None


def _target(node):
    text = ast.unparse(node)
    return text[1:-1] if isinstance(node, ast.Tuple) else text  # without the parentheses
