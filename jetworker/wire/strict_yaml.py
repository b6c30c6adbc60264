"""YAML as people write it, and nothing that would silently mean something else."""

from typing import Any

import yaml
from typing_extensions import override


class NotYaml(ValueError):
    """
    Why a text is not YAML, and in which *line* if that is known.

    *problem* may quote the text; *twice* is a key that occurs twice, where that is all.
    """

    def __init__(self, problem: str, line: int | None, twice: object = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.twice = twice


class _Twice(yaml.constructor.ConstructorError):
    """A key occurs twice."""

    def __init__(self, key: object, mark: Any) -> None:
        super().__init__(None, None, f"{key} occurs twice", mark)
        self.key = key


_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """
    YAML 1.1 without two of its surprises.

    Of a key that occurs twice the second would win silently; and 12:00 would be 720, as
    it counts in sixties: that is text here.
    """

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self._seen: set[int] = set()

    @override
    def flatten_mapping(self, node: Any) -> None:
        """
        Put in what is merged by `<<`, and refuse a key that is written twice.

        A mapping that others merge comes here again, and has what it merges itself in
        front of its own keys then: that is no key twice.
        """
        if id(node) not in self._seen:
            self._seen.add(id(node))
            keys = [self._key(key) for key, _ in node.value]
            twice = next((k for n, k in enumerate(keys) if k in keys[:n]), None)
            if twice is not None:
                raise _Twice(twice, node.start_mark)
        super().flatten_mapping(node)

    def _key(self, node: Any) -> Any:
        """Return a key; that of a merge is no value that could be made."""
        if node.tag == _MERGE:
            return node.value
        return self.construct_object(node, deep=True)

    @override
    def construct_yaml_int(self, node: Any) -> Any:
        """Read a whole number."""
        return node.value if ":" in node.value else super().construct_yaml_int(node)

    @override
    def construct_yaml_float(self, node: Any) -> Any:
        """Read a number."""
        return node.value if ":" in node.value else super().construct_yaml_float(node)


# What is found by its tag is the function, not the name that is overridden.
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


# The last two are what it fails with on a value that is not of its own tag, as `!!int ""`.
_FOREIGN = (RecursionError, ValueError, LookupError, AttributeError)


def loads(text: bytes) -> Any:
    """Read YAML; raises NotYaml."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 -- a subclass of SafeLoader
    except (yaml.YAMLError, *_FOREIGN) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark else None
        problem = getattr(exc, "problem", None) or "not YAML"
        raise NotYaml(problem, line, getattr(exc, "key", None)) from exc
