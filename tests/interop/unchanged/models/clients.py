"""Calls models by OpenAI's and Anthropic's clients, without OpenTelemetry code. Each action of an event is a function of this
module.
"""

import asyncio
import os

import anthropic
import openai

MODELS = os.environ["MODELS"]
MESSAGES = [{"role": "user", "content": "geheim-prompt"}]
OPTIONS = {"api_key": "geheim-key", "max_retries": 0}
CHAT = {"model": "gpt-x", "messages": MESSAGES, "max_tokens": 99}
CLAUDE = {"model": "claude-x", "messages": MESSAGES, "max_tokens": 99}

of_openai = openai.OpenAI(base_url=f"{MODELS}/v1", **OPTIONS)
of_anthropic = anthropic.Anthropic(base_url=MODELS, **OPTIONS)


def chat():
    return of_openai.chat.completions.create(**CHAT).model_dump()


def azure_chat():
    client = openai.AzureOpenAI(azure_endpoint=MODELS, api_version="2026-01-01", **OPTIONS)
    return client.chat.completions.create(**CHAT).model_dump()


def chat_raw():
    raw = of_openai.chat.completions.with_raw_response.create(**CHAT)
    return raw.status_code, raw.parse().model_dump()


def chat_stream():
    stream = of_openai.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    return [chunk.model_dump() for chunk in stream]


def chat_stream_left():
    for chunk in of_openai.chat.completions.create(**CHAT, stream=True):
        return chunk.model_dump()


def chat_failed():
    return of_openai.chat.completions.create(model="fail", messages=MESSAGES)


def chat_odd():
    return of_openai.chat.completions.create(model="odd", messages=MESSAGES).usage


def chat_odd_stream():
    return [str(chunk.usage) for chunk in of_openai.chat.completions.create(model="odd", messages=MESSAGES, stream=True)]


async def chat_async():
    async with openai.AsyncOpenAI(base_url=f"{MODELS}/v1", **OPTIONS) as client:
        return (await client.chat.completions.create(**CHAT)).model_dump()


async def chat_async_stream():
    async with openai.AsyncOpenAI(base_url=f"{MODELS}/v1", **OPTIONS) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        return [chunk.model_dump() async for chunk in stream]


def responses():
    return of_openai.responses.create(model="gpt-x", input="geheim-prompt", max_output_tokens=99).output_text


def responses_stream():
    return [event.type for event in of_openai.responses.create(model="gpt-x", input="geheim-prompt", stream=True)]


async def responses_raw_stream():
    async with openai.AsyncOpenAI(base_url=f"{MODELS}/v1", **OPTIONS) as client:
        raw = await client.responses.with_raw_response.create(model="gpt-x", input="geheim-prompt", stream=True)
        async with raw.parse() as stream:
            return [event.type async for event in stream]


async def chat_streamed_response():
    async with openai.AsyncOpenAI(base_url=f"{MODELS}/v1", **OPTIONS) as client:
        async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
            return (await response.parse()).model_dump()


def embeddings():
    return of_openai.embeddings.create(model="embed-x", input="geheim-prompt", encoding_format="float").model_dump()


def message():
    return of_anthropic.messages.create(**CLAUDE).model_dump()


def message_events():
    return [event.model_dump() for event in of_anthropic.messages.create(**CLAUDE, stream=True)]


def message_stream():
    with of_anthropic.messages.stream(**CLAUDE) as stream:
        return list(stream.text_stream), stream.get_final_message().model_dump()


def message_stream_left():
    with of_anthropic.messages.stream(**CLAUDE) as stream:
        return next(iter(stream.text_stream))


def message_failed():
    return of_anthropic.messages.create(model="fail", max_tokens=99, messages=MESSAGES)


def message_odd():
    return of_anthropic.messages.create(model="odd", max_tokens=99, messages=MESSAGES).usage


def message_odd_events():
    return [str(event.type) for event in of_anthropic.messages.create(model="odd", max_tokens=99, messages=MESSAGES, stream=True)]


async def message_async():
    async with anthropic.AsyncAnthropic(base_url=MODELS, **OPTIONS) as client:
        return (await client.messages.create(**CLAUDE)).model_dump()


async def message_async_stream():
    async with anthropic.AsyncAnthropic(base_url=MODELS, **OPTIONS) as client:
        async with client.messages.stream(**CLAUDE) as stream:
            return [text async for text in stream.text_stream]


async def message_beta_stream():
    async with anthropic.AsyncAnthropic(base_url=MODELS, **OPTIONS) as client:
        async with client.beta.messages.stream(**CLAUDE) as stream:
            return [text async for text in stream.text_stream], (await stream.get_final_message()).model_dump()


def handler(event, context):
    action = globals()[event["action"]]
    try:
        result = action()
        return repr(asyncio.run(result) if asyncio.iscoroutine(result) else result)
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
