"""The classes that signs can have: id, name, group and what each becomes in a mirror. Ids are never renumbered."""

from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

ClassId = Annotated[int, Field(ge=0)]


class SignClass(BaseModel):
    """One class.

    Attributes:
        id: a number that is never given to another class; ids need not be consecutive.
        name: unique, as a person reads it.
        group: classes that are judged together (prohibitory, danger, ...).
        mirror: id of the class that a mirrored picture shows, its own where it is symmetric; None where it shows nothing real.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: ClassId
    name: Annotated[str, Field(min_length=1, max_length=200)]
    group: Annotated[str, Field(min_length=1, max_length=200)]
    mirror: ClassId | None = None


class Taxonomy(BaseModel):
    """All classes; the order of `classes` is the order of a classifier's outputs.

    Attributes:
        name: what it is called in reports.
        object_name: what one labelled thing is called ("sign"), the detector's single class.
        counts: what is to be labelled and what is not, in words for the person who verifies; "" says nothing.
        also: class name -> other words by which people search for it. Models know nothing of `counts` and `also`, and a change of
            these makes none out of date.
        classes: at least one class; ids and names unique; mirrors known and mutual.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    object_name: str
    counts: Annotated[str, Field(max_length=400)] = ""
    also: dict[str, Annotated[str, Field(max_length=200)]] = {}
    classes: tuple[SignClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Taxonomy":
        by_id = {c.id: c for c in self.classes}
        if len(by_id) != len(self.classes) or len({c.name for c in self.classes}) != len(self.classes):
            raise ValueError("class ids and names must be unique")
        strange = sorted(self.also.keys() - {c.name for c in self.classes})
        if strange:
            raise ValueError(f"also: no class is called {strange[0]!r}")
        for c in self.classes:
            if c.mirror is not None and (c.mirror not in by_id or by_id[c.mirror].mirror != c.id):
                raise ValueError(f"class {c.id} ({c.name}): mirror {c.mirror} is unknown or does not point back")
        return self

    def card(self) -> dict[str, Any]:
        """Return what a model knows of it: all but the words for people."""
        return self.model_dump(exclude={"counts", "also"})

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Class ids in output order."""
        return tuple(c.id for c in self.classes)

    @cached_property
    def index_of(self) -> dict[int, int]:
        """Class id -> position in the classifier's outputs."""
        return {c.id: i for i, c in enumerate(self.classes)}

    @cached_property
    def by_id(self) -> dict[int, SignClass]:
        """Class id -> class."""
        return {c.id: c for c in self.classes}

    @cached_property
    def id_of(self) -> dict[str, int]:
        """Class name -> class id."""
        return {c.name: c.id for c in self.classes}

    def name_of(self, class_id: int | None) -> str:
        """Return the name of a class; None is an object of no known class."""
        return f"{self.object_name} of no known class" if class_id is None else self.by_id[class_id].name
