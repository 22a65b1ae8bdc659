"""A support agent with one tool, with Strands Agents, which streams. See README.md."""

from typing import Literal

from strands import Agent, tool
from strands.models.openai import OpenAIModel

import rollout as turnpike


@tool
def order_status(order: Literal["A-17", "B-4"]) -> str:
    """Says where an order is."""
    return turnpike.order_status(order)


rollout = turnpike.register()
to = {"base_url": rollout["base_url"], "api_key": rollout["api_key"]}
model = OpenAIModel(client_args=to, model_id="default")
agent = Agent(model=model, tools=[order_status], callback_handler=None)
turnpike.complete(rollout, str(agent("Where is order A-17?")).strip())
