"""The conversation every client is put through; ../arithmetic.json is the model's side of it."""

from pathlib import Path

SCRIPT = str(Path(__file__).parent.parent / "arithmetic.json")
QUESTION = "What is (2 + 3) * (10 + 20)?"
ANSWER = "It is 150."
MODEL = "test-model"


def add(a: float, b: float) -> str:
    """Adds two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return f"sum={a + b:g}"


def multiply(a: float, b: float) -> str:
    """Multiplies two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return f"product={a * b:g}"


TOOLS = {"add": add, "multiply": multiply}

SPECIFICATIONS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": tool.__doc__.splitlines()[0],
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                "required": ["a", "b"],
            },
        },
    }
    for name, tool in TOOLS.items()
]


def expected_turns(stream: bool, opening: str = "user") -> list[dict]:
    """What `Rollout.turns` gives for the whole conversation; `opening` are the roles before the first answer."""
    second = f"{opening} assistant tool tool"
    turns = [
        {"roles": opening, "results": []},
        {"roles": second, "results": ["sum=5", "sum=30"]},
        {"roles": f"{second} assistant tool", "results": ["sum=5", "sum=30", "product=150"]},
    ]
    operation = "SampleWithResponseStream" if stream else "Sample"
    return [
        {"sequence": index, "operation": operation, "outcome": "complete", **turn}
        for index, turn in enumerate(turns, 1)
    ]
