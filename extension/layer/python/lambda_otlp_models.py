"""Makes the spans of calls of models by OpenAI's and Anthropic's clients. models.cjs does the same in Node.

Both clients send each request with their method `post`, which their documentation offers for requests of one's own. The function
gets the client's own objects: a stream and a raw response have attributes of the layer that follow them to their end.

Source: OpenTelemetry's semantic conventions, "Spans for generative AI client operations"; OpenAI API Reference, "Chat",
"Responses", "Embeddings"; Anthropic API Reference, "Messages", "Streaming messages".
"""

import copy
import functools
import inspect
import weakref
from collections.abc import Mapping

from lambda_otlp_load import attempt, layer_module, say
from lambda_otlp_variables import recorded_prompts
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace.status import Status, StatusCode

# Number of characters of an error's message that are kept.
MAX_MESSAGE = 1024
CHAT = "chat"
USAGE = "gen_ai.usage."
AZURE = ("AzureOpenAI", "AsyncAzureOpenAI")

# Parameters of a request that its span has.
PARAMETERS = {
    "gen_ai.request.max_tokens": ("max_completion_tokens", "max_output_tokens", "max_tokens"),
    "gen_ai.request.temperature": ("temperature",),
    "gen_ai.request.top_k": ("top_k",),
    "gen_ai.request.top_p": ("top_p",),
}


class Content:
    """The description of a response, or of an event of a stream, for its span. Values that it does not have are `None`."""

    __slots__ = ("attributes", "finish_reasons")

    def __init__(self, attributes, finish_reasons):
        self.attributes = attributes
        self.finish_reasons = finish_reasons


def value_of(item, name):
    """Returns a value of a client's model or of a mapping, or `None`."""
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def values_of(items):
    return items if isinstance(items, (list, tuple)) else ()


def of_completion(content):
    """Describes a response of OpenAI's chat completions or embeddings, or a part of a streamed one."""
    usage = value_of(content, "usage")
    attributes = {
        "gen_ai.response.id": value_of(content, "id"),
        "gen_ai.response.model": value_of(content, "model"),
        "gen_ai.usage.input_tokens": value_of(usage, "prompt_tokens"),
        "gen_ai.usage.output_tokens": value_of(usage, "completion_tokens"),
        "gen_ai.usage.cache_read.input_tokens": value_of(value_of(usage, "prompt_tokens_details"), "cached_tokens"),
    }
    reasons = [value_of(choice, "finish_reason") for choice in values_of(value_of(content, "choices"))]
    return Content(attributes, reasons)


def of_response(content):
    """Describes a response of OpenAI's Responses API. A stream has it in its last event."""
    response = value_of(content, "response") or content
    usage = value_of(response, "usage")
    attributes = {
        "gen_ai.response.id": value_of(response, "id"),
        "gen_ai.response.model": value_of(response, "model"),
        "gen_ai.usage.input_tokens": value_of(usage, "input_tokens"),
        "gen_ai.usage.output_tokens": value_of(usage, "output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": value_of(value_of(usage, "input_tokens_details"), "cached_tokens"),
    }
    return Content(attributes, [finish_reason(response)])


def finish_reason(response):
    """Returns the reason of the conventions for which a response of OpenAI ended, or `None` if it has not."""
    status = value_of(response, "status")
    if status == "completed":
        is_call = any(value_of(item, "type") == "function_call" for item in values_of(value_of(response, "output")))
        return "tool_calls" if is_call else "stop"
    if status != "incomplete":
        return status if status in ("cancelled", "failed") else None
    reason = value_of(value_of(response, "incomplete_details"), "reason")
    return "length" if reason == "max_output_tokens" else reason


def of_message(content):
    """Describes a message of Anthropic, or an event of a streamed one. Anthropic does not count the tokens of its cache as
    input."""
    message = content if value_of(content, "type") == "message" else value_of(content, "message")
    usage = value_of(message, "usage") or value_of(content, "usage")
    input_tokens = value_of(usage, "input_tokens")
    read_tokens = value_of(usage, "cache_read_input_tokens")
    written_tokens = value_of(usage, "cache_creation_input_tokens")
    if isinstance(input_tokens, int):
        input_tokens += sum(count for count in (read_tokens, written_tokens) if isinstance(count, int))
    attributes = {
        "gen_ai.response.id": value_of(message, "id"),
        "gen_ai.response.model": value_of(message, "model"),
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": value_of(usage, "output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": read_tokens,
    }
    reasons = [value_of(message, "stop_reason"), value_of(value_of(content, "delta"), "stop_reason")]
    return Content(attributes, reasons)


class Operation:
    """An operation of a client. `describe` describes a response, or an event of a stream."""

    def __init__(self, name, describe):
        self.name = name
        self.describe = describe


# The operations of clients by their names and by the paths that call a model.
CLIENTS = {
    "anthropic": {"/v1/messages": Operation(CHAT, of_message)},
    "openai": {
        "/chat/completions": Operation(CHAT, of_completion),
        "/embeddings": Operation("embeddings", of_completion),
        "/responses": Operation(CHAT, of_response),
    },
}


class Call:
    """A call of a model, whose span ends once: with the response, or when the function releases what refers to the call."""

    def __init__(self, span, describe, answer):
        self.span = span
        self.describe = describe
        # What the model answers (lambda_otlp_prompts.py), or `None`.
        self.answer = answer
        self.finish_reasons = []

    def __enter__(self):
        self.token = contexts.attach(trace.set_span_in_context(self.span))

    def __exit__(self, kind, error, _):
        contexts.detach(self.token)
        if error is not None:
            attempt(self.fail, error)

    def note(self, content):
        """Notes what a response, or an event of a stream, says."""
        if not self.span.is_recording():
            return
        described = self.describe(content)
        for name, value in described.attributes.items():
            # Servers other than the client's own answer with anything.
            if type(value) is (int if name.startswith(USAGE) else str):
                self.span.set_attribute(name, value)
        self.finish_reasons += [reason for reason in described.finish_reasons if isinstance(reason, str)]
        if self.finish_reasons:
            self.span.set_attribute("gen_ai.response.finish_reasons", tuple(self.finish_reasons))
        if self.answer is not None:
            self.answer.add(content)

    def fail(self, error):
        self.span.set_attribute("error.type", layer_module("lambda_otlp_frames").type_of(error))
        self.span.set_status(Status(StatusCode.ERROR, str(error)[:MAX_MESSAGE]))
        self.end()

    def end(self):
        if not self.span.is_recording():
            return
        if self.answer is not None:
            attempt(self.note_answer)
        self.span.end()

    def note_answer(self):
        self.span.set_attributes(self.answer.attributes())

    def __del__(self):
        attempt(self.end)

    def follow(self, result):
        """Follows a result to the end of its response. Returns the result itself."""
        if hasattr(result, "_iterator") and hasattr(result, "response"):
            attempt(follow_stream, result, self)
        elif hasattr(result, "http_response") and hasattr(result, "parse"):
            attempt(follow_raw_response, result, self)
        else:
            attempt(self.note, result)
            attempt(self.end)
        return result


def instrument(name, module, tracers, is_active):
    """Instruments the client of this name, whose module has the classes. `is_active` returns `True` while the layer makes
    spans."""
    tracer = tracers.get_tracer("lambda-otlp/models")

    def begin(client, path, named):
        return begin_call(name, tracer, client, path, named.get("body")) if is_active() else None

    def traced(post):
        @functools.wraps(post)
        def post_with_span(self, path, *arguments, **named):
            call = begin(self, path, named)
            if call is None:
                return post(self, path, *arguments, **named)
            with call:
                result = post(self, path, *arguments, **named)
            return call.follow(result)

        return post_with_span

    def traced_async(post):
        @functools.wraps(post)
        async def post_with_span(self, path, *arguments, **named):
            call = begin(self, path, named)
            if call is None:
                return await post(self, path, *arguments, **named)
            with call:
                result = await post(self, path, *arguments, **named)
            return call.follow(result)

        return post_with_span

    module.SyncAPIClient.post = traced(module.SyncAPIClient.post)
    module.AsyncAPIClient.post = traced_async(module.AsyncAPIClient.post)


def begin_call(name, tracer, client, path, body):
    """Starts the span of a request, or returns `None` if it calls no model, or has no trace."""
    operation = CLIENTS[name].get(str(path).partition("?")[0])
    if operation is None or not isinstance(body, Mapping):
        return None
    if not trace.get_current_span().get_span_context().is_valid or contexts.get_value("suppress_instrumentation"):
        return None
    try:
        recorded = recorded_prompts() if operation.name == CHAT else None
        span = start_span(name, tracer, client, operation.name, body)
        call = Call(span, operation.describe, recorded and recorded.Answer())
        if recorded:
            attempt(lambda: call.span.set_attributes(recorded.of_request(body)))
        if invocation := contexts.get_value(layer_module("lambda_otlp_contexts").INVOCATION):
            invocation.open_calls.add(call)
    except Exception as error:
        say(f"cannot describe a call of a model, so it has no span: {error!r}")
        return None
    return call


def start_span(name, tracer, client, operation, body):
    # Microsoft's client is a subclass of OpenAI's.
    is_of_azure = any(base.__name__ in AZURE for base in type(client).__mro__)
    attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "azure.ai.openai" if is_of_azure else name}
    model = body.get("model")
    if isinstance(model, str):
        attributes["gen_ai.request.model"] = model
    for attribute, parameters in PARAMETERS.items():
        value = next((body[each] for each in parameters if isinstance(body.get(each), (int, float))), None)
        if value is not None:
            attributes[attribute] = value
    url = getattr(client, "base_url", None)
    if getattr(url, "host", None):
        attributes["server.address"] = url.host
        attributes["server.port"] = url.port or (80 if url.scheme == "http" else 443)
    title = f"{operation} {model}" if isinstance(model, str) else operation
    return tracer.start_span(title, kind=trace.SpanKind.CLIENT, attributes=attributes)


def follow_stream(stream, call):
    """Follows a stream until its last event, or until the function closes or releases it.

    The iterator refers to the stream, which would keep both until Python's garbage collector finds them. A copy takes the
    stream's place.
    """
    if isinstance(stream._iterator, Follower):
        # A raw response parses its stream once.
        return
    inner = copy.copy(stream)
    inner._iterator = None
    is_async = hasattr(stream, "__anext__")
    iterator = inner.__stream__()
    stream._iterator = AsyncFollower(iterator, call) if is_async else SyncFollower(iterator, call)
    kind = type(stream)
    weak_stream = weakref.ref(stream)

    def close():
        attempt(call.end)
        return kind.close(weak_stream())

    stream.close = close


class Follower:
    """An iterator in place of the client's, which passes each event to a call."""

    def __init__(self, iterator, call):
        self.iterator = iterator
        self.call = call

    def __getattr__(self, name):
        return getattr(self.iterator, name)


class SyncFollower(Follower):
    def __iter__(self):
        return self

    def __next__(self):
        try:
            event = next(self.iterator)
        except StopIteration:
            attempt(self.call.end)
            raise
        except BaseException as error:
            attempt(self.call.fail, error)
            raise
        attempt(self.call.note, event)
        return event


class AsyncFollower(Follower):
    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            event = await self.iterator.__anext__()
        except StopAsyncIteration:
            attempt(self.call.end)
            raise
        except BaseException as error:
            attempt(self.call.fail, error)
            raise
        attempt(self.call.note, event)
        return event


def follow_raw_response(raw, call):
    """Follows a raw response until the function has it parsed, or releases it."""
    kind = type(raw)
    weak_response = weakref.ref(raw)

    def parse(*arguments, **named):
        parsed = kind.parse(weak_response(), *arguments, **named)
        return parsed_later(parsed) if inspect.isawaitable(parsed) else call.follow(parsed)

    async def parsed_later(parsed):
        return call.follow(await parsed)

    raw.parse = parse
