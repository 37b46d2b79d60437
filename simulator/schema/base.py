"""The common ground of every specification: frozen, nothing extra allowed, quantities with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from simulator import documents, yamlio
from simulator.errors import SpecError
from simulator.units import DIMENSIONS, QuantityError, parse_price, parse_quantity

# Validation context of data that a person wrote: quantities must then carry their unit.
WRITTEN: dict[str, Any] = {"written": True}


def fail(reason: str, hint: str = "", *, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """A mistake found by a validator, at a path relative to where the validator stands."""
    return PydanticCustomError("spec", "{reason}", {"reason": reason, "hint": hint, "at": at})


def fail_all(found: list[tuple[tuple[str | int, ...], str, str]]) -> PydanticCustomError:
    """Several mistakes found by one validator, each a relative path, a reason and a hint."""
    return PydanticCustomError("specs", "several mistakes", {"found": found})


class Spec(BaseModel):
    """A thing that a user writes down. Frozen; `with_` makes a changed copy."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate plain data; every mistake is reported in one `SpecError`."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            from simulator.schema.problems import translate

            document = yamlio.Document(data=obj if isinstance(obj, dict) else {}, file="")
            raise SpecError(translate(cls, error, document)) from None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """JSON schema, with the text below each field as its description."""
        from simulator.schema.texts import texts_of

        described = handler(schema)
        properties = handler.resolve_ref_schema(described).get("properties", {})
        for name, text in texts_of(cls).items():
            if name in properties:
                properties[name]["description"] = text
        return described

    def with_(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """A validated copy with some fields changed; keys may be dotted, mappings merge.

        Examples
        --------
        >>> from simulator.schema import Training
        >>> Training(seq_length=4096).with_(seq_length=8192).seq_length
        8192
        """
        data = yamlio.Document(data=yamlio.plain(self.model_dump(exclude_unset=True)))
        for key, value in {**(changes or {}), **more}.items():
            if isinstance(value, BaseModel):
                value = value.model_dump(exclude_unset=True)
            elif isinstance(value, Mapping):
                below: Any = data.data
                for part in key.split("."):
                    below = below.get(part) if isinstance(below, dict) else None
                value = documents.merge_data(below, dict(value)) if isinstance(below, dict) else dict(value)
            data = documents.put(data, key, value)
        return type(self).model_validate(data.data)


class Quantity:
    """Marks a float field as a quantity of a dimension (see `simulator.units`).

    Text is read with its unit. A bare number is taken as SI from Python and refused in a file.
    """

    def __init__(self, dimension: str) -> None:
        self.dimension = DIMENSIONS[dimension]

    def parse(self, value: Any, info: ValidationInfo) -> float:
        """Read one value, strictly if a person wrote it."""
        bare = not (isinstance(info.context, dict) and info.context.get("written"))
        try:
            return parse_quantity(value, self.dimension.name, bare=bare)
        except QuantityError as error:
            raise fail(error.reason, error.hint) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(self.parse, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        handler(schema)
        described = {"examples": list(self.dimension.examples)}
        if self.dimension.bare:
            return {"anyOf": [{"type": "number"}, {"type": "string"}], **described}
        return {"type": "string", **described}


Positive = Field(gt=0, lt=1e30)

Bytes = Annotated[float, Positive, Quantity("byte")]
BytesPerSecond = Annotated[float, Positive, Quantity("byte/second")]
FlopPerSecond = Annotated[float, Positive, Quantity("FLOP/second")]
Seconds = Annotated[float, Positive, Quantity("second")]
Watts = Annotated[float, Positive, Quantity("watt")]
Joules = Annotated[float, Positive, Quantity("joule")]
Tokens = Annotated[float, Positive, Quantity("token")]
Parameters = Annotated[float, Positive, Quantity("parameter")]
Count = Annotated[float, Positive, Quantity("count")]
Usd = Annotated[float, Positive, Quantity("USD")]
UsdPerGpu = Annotated[float, Positive, Quantity("USD/GPU")]
Carbon = Annotated[float, Positive, Quantity("kgCO2e")]
UsdPerKwh = Annotated[float, Field(ge=0, lt=1e3), Quantity("USD/kWh")]
CarbonIntensity = Annotated[float, Field(ge=0, lt=1e6), Quantity("gCO2e/kWh")]
Fraction = Annotated[float, Field(gt=0, le=1), Quantity("fraction")]

Whole = Annotated[int, Field(gt=0, lt=10**9, strict=True)]
WholeOrZero = Annotated[int, Field(ge=0, lt=10**9, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=10_000)]
Identifier = Annotated[
    str, Field(strict=True, min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9._-]*$")
]


OWN = {
    "accelerators": "; or describe it in a YAML file of your own, ten lines of its datasheet (docs/hardware.md), and give its path"
}
"""What to do where a name of a kind is not known, beside another name."""


class Named:
    """Marks a field that holds a specification: an id, a path, or the fields inline.

    The id is looked up in the library when the field is validated, so the object holds the
    specification itself. An inline mapping may start from another with ``extends``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def resolve(self, value: Any, info: ValidationInfo) -> Any:
        """A name to the specification; anything else passes on to ordinary validation."""
        from simulator.schema import load

        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # YAML reads a name such as 3090 as a number
        if isinstance(value, str):
            return self._guard(lambda: load.load_spec(self.kind, value, folder=folder_of(info)))
        if isinstance(value, dict) and value.get("extends") is not None:
            return self._guard(lambda: load.extended(self.kind, value, folder=folder_of(info)))
        return value

    def _guard(self, read: Any) -> Any:
        from simulator.errors import SimulatorError, UnknownNameError

        try:
            return read()
        except UnknownNameError as error:
            raise fail(error.reason, f"{error.hint}{OWN.get(self.kind, '')}") from None
        except SpecError as error:
            first = error.problems[0]
            if len(error.problems) == 1 and first.line is None and first.file and not first.path:
                # The file itself is at fault (missing, a folder, too large): show who names it.
                raise fail(f"{first.file}: {first.reason}", first.hint) from None
            raise PydanticCustomError("nested", "nested", {"problems": error.problems}) from None
        except SimulatorError as error:
            raise fail(str(error)) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(self.resolve, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class OneOrMany:
    """Marks a tuple that may be written as a single value."""

    @staticmethod
    def listed(value: Any) -> Any:
        """One value to a list of one."""
        return value if isinstance(value, (list, tuple)) else [value]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.listed, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many.get("items", {}), many]}


def folder_of(info: ValidationInfo) -> Any:
    """Folder of the file that is read, from which its paths start."""
    return info.context.get("folder") if isinstance(info.context, dict) else None


class Rent(Spec):
    """A price that says per what it is."""

    usd: Annotated[float, Field(gt=0, lt=1e12)]
    """Amount. [USD]"""
    per: Annotated[str, Field(pattern="^(GPU-hour|node-hour|GPU)$")]
    """``GPU-hour``, ``node-hour`` (all accelerators of a node) or ``GPU`` (bought)."""

    def usd_per_gpu_hour(self, accelerators_per_node: float) -> float | None:
        """Rent of one accelerator for an hour, or None for a purchase. [USD/h]"""
        if self.per == "GPU":
            return None
        return self.usd / (accelerators_per_node if self.per == "node-hour" else 1)


class PriceText:
    """Marks a price written as text, such as ``$2.99/GPU-h``."""

    @staticmethod
    def parse(value: Any) -> Any:
        """Text to the fields of `Rent`; anything else passes on."""
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            return value
        try:
            usd, per = parse_price(value)
        except QuantityError as error:
            raise fail(error.reason, error.hint) from None
        if usd == 0:
            paid = "for machines that are paid already leave price and budget.cost out: a list price is shown, and time decides"
            raise fail(f"{value} is out of range", f"it must be greater than 0; {paid}")
        return {"usd": usd, "per": per}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.parse, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        handler(schema)
        return {"type": "string", "examples": ["$2.99/GPU-h", "$24/node-h", "$25000/GPU"]}


Price = Annotated[Rent, PriceText()]
