"""What travels: JSON as it was read, a task's call, and the words of a command for Redis."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from django.utils.functional import Promise

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Args: TypeAlias = list[Json]
Kwargs: TypeAlias = dict[str, Json]
Call: TypeAlias = tuple[str, Args, Kwargs]  # a task's name, and its arguments by place and by name

Word: TypeAlias = str | bytes | float
Command: TypeAlias = tuple[Word, ...]

Text: TypeAlias = str | Promise  # words for people, maybe not yet in their language
Answer: TypeAlias = dict[str, object]  # for scripts, as JSON: web/api_answers.py names the shapes
Context: TypeAlias = dict[str, object]  # for a template, by name
