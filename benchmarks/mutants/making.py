"""All mutants of some modules, made by cosmic-ray's operators, and a random sample of them as JSON on standard output.

Runs in the environment of cosmic-ray, which needs nothing of ours. Each operator is replaced by its nearest neighbour
alone (`<` by `<=`, `+` by `-`): what is far away every test notices, and would only flatter the figure.
"""

import argparse
import ast
import difflib
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is")
BINARY = (
    "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr",
)  # fmt: skip
OPERATORS = [
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS),
    *(f"ReplaceBinaryOperator_{pair}" for pair in BINARY),
    *(f"ReplaceUnaryOperator_Delete_{sign}" for sign in ("Not", "USub", "Invert")),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "AddNot"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator"),
]
OF_SUMS = {"arith_expr", "term", "expr", "and_expr", "xor_expr", "shift_expr", "power"}
Place = tuple[int, int]


def span(node: ast.AST) -> tuple[Place, Place]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def left_out(tree: ast.AST) -> Iterator[tuple[Place, Place]]:
    """Yield what is no matter of tests: annotations, imports for types, lines of the log; and what a model declares.

    Fields and Meta are held by `makemigrations --check`, which `make check` runs: any change of them is noticed.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield span(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield span(node.returns)
        elif isinstance(node, ast.If | ast.Expr):
            text = ast.unparse(node.test if isinstance(node, ast.If) else node.value)
            yield from [span(node)] if text == "TYPE_CHECKING" or text.startswith("logger.") else []
        elif isinstance(node, ast.ClassDef):
            yield from (span(part) for part in node.body if is_declaration(part))


def is_declaration(node: ast.stmt) -> bool:
    is_field = isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("models.")
    return is_field or (isinstance(node, ast.ClassDef) and node.name == "Meta")


def places(source: str) -> Iterator[tuple[str, int, Place]]:
    """Yield each mutant of a module: its operator, which occurrence of it, and where."""
    outside = list(left_out(ast.parse(source)))
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        found = ((node, start) for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, (node, start) in enumerate(found):
            is_sum = "Binary" not in name or node.parent.type in OF_SUMS
            if is_sum and not any(first <= start < last for first, last in outside):
                yield name, occurrence, start


def functions_around(source: str, place: Place) -> list[int]:
    """Return the first lines of the functions in whose bodies a place lies, from outside to inside."""
    return sorted(
        min(part.lineno for part in (node, *node.decorator_list))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and span(node.body[0])[0] <= place < span(node.body[-1])[1]
    )


def made(path: str, name: str, occurrence: int, place: Place) -> dict[str, Any] | None:
    """Return a mutant with its code; None if that is no Python, or says the same."""
    before = Path(path).read_text()
    after = mutate_code(before, get_operator(f"core/{name}")(), occurrence)
    with suppress(SyntaxError):
        if after and ast.dump(ast.parse(after)) != ast.dump(ast.parse(before)):
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
            diff = "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))
            mutant = {"name": f"{path}:{place[0]} {name}/{occurrence}", "path": path, "line": place[0], "diff": diff}
            return mutant | {"code": after, "functions": functions_around(before, place)}
    return None


def main() -> None:
    """Print how many mutants there are and the sample, drawn with the seed, or those with the given names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--sample", type=int, required=True)
    parser.add_argument("--names", nargs="*")
    parser.add_argument("paths", nargs="+")
    words = parser.parse_args()
    everything = [(path, *found) for path in sorted(words.paths) for found in places(Path(path).read_text())]
    if words.names:
        wanted = set(words.names)
        drawn = [one for one in everything if f"{one[0]}:{one[3][0]} {one[1]}/{one[2]}" in wanted]
    else:
        drawn = random.Random(words.seed).sample(everything, len(everything))
    mutants: list[dict[str, Any]] = []
    for one in drawn:
        if len(mutants) < words.sample and (mutant := made(*one)):
            mutants.append(mutant)
    print(json.dumps({"count": len(everything), "mutants": mutants}))


if __name__ == "__main__":
    main()
