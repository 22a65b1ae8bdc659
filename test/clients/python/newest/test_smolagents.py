from smolagents import OpenAIModel, ToolCallingAgent, tool

from arithmetic import ANSWER, MODEL, QUESTION, add, multiply


@tool
def multiply_last(a: float, b: float) -> str:
    """Multiplies two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    # The script answers this with a call of `final_answer`, the tool by which these agents end.
    return f"{multiply(a, b)}, the final answer"


multiply_last.name = "multiply"


def run(model: OpenAIModel, stream: bool) -> str:
    agent = ToolCallingAgent([tool(add), multiply_last], model, stream_outputs=stream, verbosity_level=0)
    return agent.run(QUESTION)


def check(rollout, stream: bool) -> None:
    """It tells the model of tools in its own roles, so their results are looked for in the text."""
    operation = "SampleWithResponseStream" if stream else "Sample"
    assert [(turn["sequence"], turn["operation"]) for turn in rollout.turns()] == [
        (1, operation),
        (2, operation),
        (3, operation),
    ]
    bodies = [turn["request"]["body"]["text"] for turn in rollout.turnpike.turns(rollout.id)]
    seen = [[text in body for text in ("sum=5", "sum=30", "product=150")] for body in bodies]
    assert seen == [[False] * 3, [True, True, False], [True] * 3]


def test_every_step_of_an_agent_is_one_turn(rollout, stream):
    model = OpenAIModel(MODEL, api_base=rollout.base_url, api_key=rollout.api_key)
    assert run(model, stream) == ANSWER
    check(rollout, stream)


def test_the_environment_suffices(rollout, environment, stream):
    assert run(OpenAIModel(MODEL), stream) == ANSWER
    check(rollout, stream)
