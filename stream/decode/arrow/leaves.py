"""The columns of a schema as places: which node and buffers of a batch each is in.

Read once for a schema that pyarrow has read, and from which events came; so its types are known
to be right, and what is not plain here is left.
"""

from typing import Final, NamedTuple

from stream.decode.arrow.frames import FIELDS_MAX, Table
from stream.decode.arrow.kernels import BIT, F4, F8, I4, I8, VIEWS
from stream.decode.strict import FIELDS

__all__ = ["NOTHING", "STRUCT", "TEXT", "Leaf", "Leaves", "leaves_of"]

STRUCT, NOTHING, TEXT = -1, -2, -3
# Type numbers of Arrow's format.
_NULL, _INT, _FLOAT, _UTF8, _BOOL, _TIMESTAMP, _STRUCT, _LARGE_UTF8 = 1, 2, 3, 5, 6, 10, 13, 20
_TEXTS: Final = {_UTF8: I4, _LARGE_UTF8: I8}
_OBJECTS: Final = {
    "features": "feature:{}",
    "segments": "segment:{}",
    "attributions": "attribution:{}",
    "metrics": "metric:{}",
}


class Leaf(NamedTuple):
    """Place one column: its node, its first buffer, and the node that it is a part of (-1: none).

    `name` is the channel or segment that it holds, or an event's field; "" where it is none.
    `kind` is the view of its values, STRUCT, NOTHING, or TEXT with `width` the view of its
    offsets.  Of a dictionary the values are indices, and `width` is the view of its texts' offsets.
    """

    name: str
    kind: int
    node: int
    buffer: int
    parent: int = -1
    width: int = 0
    dictionary: int = -1
    unit: int = -1

    @property
    def buffers(self) -> int:
        """Count the buffers that it has."""
        return {STRUCT: 1, NOTHING: 0, TEXT: 3}.get(self.kind, 2)


class Leaves(NamedTuple):
    """Hold the columns of a schema, in the order of their nodes; one dictionary is of one.

    `nothing` are the nodes of those that hold nothing but missing values.
    """

    all: tuple[Leaf, ...]
    buffers: int
    nothing: list[int]


def leaves_of(schema: bytes) -> Leaves | None:
    """Place the columns of a schema's frame; None where one is not plain."""
    header = Table.root(schema).table(2)
    if header is None:
        return None
    found: list[Leaf] = []
    buffers = 0
    for field in header.tables(1, FIELDS_MAX):
        name = field.text(0)
        leaf = _leaf(field, name if name in FIELDS else "", (len(found), buffers), -1)
        if leaf is None:
            return None
        if leaf.name == "prediction" and leaf.kind != STRUCT:
            is_class = leaf.kind == TEXT or leaf.dictionary >= 0
            leaf = leaf._replace(name="class" if is_class else "score")
        elif leaf.name == "latency_seconds":
            leaf = leaf._replace(name="latency")
        found.append(leaf)
        buffers += leaf.buffers
        parent = leaf.node
        for child in field.tables(5, FIELDS_MAX):
            leaf = _leaf(child, _name_in(name, child.text(0)), (len(found), buffers), parent)
            if leaf is None or leaf.kind == STRUCT:
                return None
            found.append(leaf)
            buffers += leaf.buffers
    dictionaries = [leaf.dictionary for leaf in found if leaf.dictionary >= 0]
    if len(set(dictionaries)) < len(dictionaries):
        return None
    nothing = [leaf.node for leaf in found if leaf.kind == NOTHING]
    return Leaves(tuple(found), buffers, nothing)


def _name_in(name: str, child: str) -> str:
    """Name a part of an object."""
    if name == "prediction":
        return child if child in {"score", "class"} else ""
    return _OBJECTS.get(name, "").format(child)


def _leaf(field: Table, name: str, at: tuple[int, int], parent: int) -> Leaf | None:
    """Read one field."""
    type_, of = field.number(2, "<B"), field.table(3)
    if of is None:
        return None
    leaf = Leaf(name, STRUCT, *at, parent)
    encoding = field.table(4)
    if encoding is not None:
        index, width = encoding.table(1), _TEXTS.get(type_)
        kind = I4 if index is None else _whole(index)
        if width is None or kind is None or VIEWS[kind] == "u8":
            return None
        return leaf._replace(kind=kind, width=width, dictionary=encoding.number(0, "<q"))
    if type_ in _TEXTS:
        return leaf._replace(kind=TEXT, width=_TEXTS[type_])
    if type_ == _TIMESTAMP:
        unit = of.number(0, "<h")
        return leaf._replace(kind=I8, unit=unit) if unit in range(4) else None
    if type_ == _INT:
        kind = _whole(of)
    elif type_ == _FLOAT:
        kind = {1: F4, 2: F8}.get(of.number(0, "<h"))
    else:
        kind = {_NULL: NOTHING, _BOOL: BIT, _STRUCT: STRUCT}.get(type_)
    return None if kind is None else leaf._replace(kind=kind)


def _whole(type_: Table) -> int | None:
    """Give the view of a whole number's type."""
    width = ("i" if type_.number(1, "<B") else "u") + str(type_.number(0, "<i") // 8)
    return VIEWS.index(width) if width in VIEWS else None
