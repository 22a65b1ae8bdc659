"""A support agent with one tool, with LangChain. See README.md."""

from typing import Literal

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

import rollout as turnpike


def order_status(order: Literal["A-17", "B-4"]) -> str:
    """Says where an order is."""
    return turnpike.order_status(order)


rollout = turnpike.register()
model = ChatOpenAI(model="default", base_url=rollout["base_url"], api_key=rollout["api_key"])
agent = create_agent(model, [order_status])
result = agent.invoke({"messages": [{"role": "user", "content": "Where is order A-17?"}]})
turnpike.complete(rollout, result["messages"][-1].text)
