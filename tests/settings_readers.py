"""Which code reads which field: every read of an attribute, with the type of what it is read from, as mypy infers it.

A read that only copies a field into a field of another type counts if that one is read in turn. Reads that validate
(pydantic's validators, `__post_init__`) and those of the API's answers do not count: nobody obeys them.
"""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mypy.build import BuildResult, BuildSource, build
from mypy.options import Options
from mypy.plugin import AttributeContext, FunctionContext, Plugin
from mypy.types import Instance, Type, UnionType, get_proper_type

ROOT = Path(__file__).parents[1]
PACKAGES = ("process", "profiles", "protocol", "tasks", "contract", "compression", "controller", "agent")
"""All but the operator, which shows and obeys nothing."""
VALIDATE = {"field_validator", "model_validator", "model_serializer", "field_serializer"}
ANY = "*"
ANSWERS = "/controller/edgefleet_controller/api/showing.py"


@dataclass(frozen=True)
class FieldOf:
    """A field, by the full name of its class."""

    owner: str
    name: str


@dataclass(frozen=True)
class FieldRead:
    """Where a field is read."""

    path: str
    line: int
    column: int


@dataclass
class Module:
    """A module's source, for what is around a read."""

    path: str
    tree: ast.Module

    @cached_property
    def parents(self) -> Mapping[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def reads(self) -> Mapping[tuple[int, int], ast.expr]:
        """The attributes that are read, and the calls of getattr, by their place."""
        found = (node for node in ast.walk(self.tree) if isinstance(node, ast.Attribute | ast.Call))
        return {(node.lineno, node.col_offset): node for node in found if is_read(node)}

    def declares(self, owner: str, name: str) -> bool:
        """Whether a class here declares such a field."""
        classes = (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef) and node.name == owner)
        fields = (node.target for each in classes for node in each.body if isinstance(node, ast.AnnAssign))
        return any(isinstance(target, ast.Name) and target.id == name for target in fields)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around a node, the nearest first."""
        while (above := self.parents.get(node)) is not None:
            yield above
            node = above


def is_read(node: ast.expr) -> bool:
    """Whether an expression reads an attribute, by its name or by getattr."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "getattr"
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)


@dataclass
class Readers:
    """All reads of fields in some code."""

    paths: dict[str, str] = field(default_factory=dict)
    """The file of each module, by its name."""
    reads: dict[FieldOf, set[FieldRead]] = field(default_factory=lambda: defaultdict(set))
    modules: dict[str, Module] = field(default_factory=dict)

    def module(self, path: str) -> Module:
        """The source of a module."""
        if path not in self.modules:
            self.modules[path] = Module(path, ast.parse(Path(path).read_text()))
        return self.modules[path]


class _Recorder(Plugin):
    """Hears of every attribute that mypy looks up."""

    def __init__(self, options: Options, readers: Readers, prefixes: tuple[str, ...]) -> None:
        super().__init__(options)
        self._readers, self._prefixes = readers, prefixes

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        """Record attributes of our own classes."""
        owner, _, name = fullname.rpartition(".")
        if not owner.startswith(self._prefixes):
            return None

        def hook(context: AttributeContext) -> Type:
            place = context.context
            if not context.is_lvalue:
                read = FieldRead(context.api.path, place.line, place.column)  # type: ignore[attr-defined]
                self._readers.reads[FieldOf(owner, name)].add(read)
            return context.default_attr_type

        return hook

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        """Record `getattr(x, name)`, which may read any field of x."""
        return self._any_field if fullname == "builtins.getattr" else None

    def _any_field(self, context: FunctionContext) -> Type:
        of = get_proper_type(context.arg_types[0][0])
        for one in map(get_proper_type, of.items if isinstance(of, UnionType) else [of]):
            if isinstance(one, Instance) and one.type.fullname.startswith(self._prefixes):
                read = FieldRead(context.api.path, context.context.line, context.context.column)  # type: ignore[attr-defined]
                for base in one.type.mro:
                    self._readers.reads[FieldOf(base.fullname, ANY)].add(read)
        return context.default_return_type


def readers_of(sources: Iterable[BuildSource], prefixes: tuple[str, ...], paths: Iterable[Path]) -> Readers:
    """Find every read of a field of our own classes.

    Args:
        sources: the modules to look into.
        prefixes: what the names of our own packages begin with.
        paths: the folders that these packages are in.
    """
    sources = list(sources)
    options, readers = Options(), Readers({source.module: str(source.path) for source in sources})
    options.incremental = False
    options.python_version = (3, 11)
    options.mypy_path = [str(path) for path in paths]
    options.ignore_missing_imports = True
    options.follow_imports = "skip"  # of others; ours are all sources
    options.per_module_options["pydantic.*"] = {"follow_imports": "silent"}
    found: BuildResult = build(sources, options, extra_plugins=[_Recorder(options, readers, prefixes)])
    assert found.files
    return readers


def is_obeyed(readers: Readers, wanted: FieldOf, seen: frozenset[FieldOf] = frozenset()) -> bool:
    """Whether some code reads a field in order to do something by it."""
    if wanted in seen:
        return False
    read_so = readers.reads.get(wanted, set()) | readers.reads.get(FieldOf(wanted.owner, ANY), set())
    return any(_counts(readers, read, seen | {wanted}) for read in read_so)


def _counts(readers: Readers, read: FieldRead, seen: frozenset[FieldOf]) -> bool:
    module = readers.module(read.path)
    node = module.reads.get((read.line, read.column))
    if node is None or read.path.endswith(ANSWERS) or _validates(module, node):
        return False
    copied_to = _copied_to(readers, module, node)
    return copied_to is None or is_obeyed(readers, copied_to, seen)


def _validates(module: Module, node: ast.AST) -> bool:
    """Whether a read only checks what was given."""
    for above in module.around(node):
        if isinstance(above, ast.FunctionDef):
            called = (each.func if isinstance(each, ast.Call) else each for each in above.decorator_list)
            named = {each.id for each in called if isinstance(each, ast.Name)}
            return bool(named & VALIDATE) or above.name == "__post_init__"
    return False


def _copied_to(readers: Readers, module: Module, node: ast.AST) -> FieldOf | None:
    """The field that a read only fills, as in `Settings(host=given.host)`; None if it does more or fills none."""
    value, above = node, module.parents[node]
    while isinstance(above, ast.BoolOp) or (isinstance(above, ast.IfExp) and value is not above.test):
        value, above = above, module.parents[above]
    call = module.parents[above] if isinstance(above, ast.keyword) else None
    if not (isinstance(above, ast.keyword) and isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    for imported in (each for each in ast.walk(module.tree) if isinstance(each, ast.ImportFrom)):
        path = readers.paths.get(imported.module or "")
        if above.arg and path and call.func.id in {each.name for each in imported.names}:
            declared = readers.module(path).declares(call.func.id, above.arg)
            return FieldOf(f"{imported.module}.{call.func.id}", above.arg) if declared else None
    return None
