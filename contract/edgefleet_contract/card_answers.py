"""The table `[answers]` of a card: how a model's outputs are meant, where its file and samples don't tell."""

from typing import Annotated, Literal

from pydantic import Field

from edgefleet_contract.card_part import CardPart
from edgefleet_contract.errors import CardError
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec, TokenReading

OutputName = Annotated[str, Field(min_length=1, max_length=1024)]
ColumnNumber = Annotated[int, Field(ge=0, lt=2**31)]
Token = Annotated[int, Field(ge=-1, lt=2**31)]
CardNumbers = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=1024)]


class CardColumns(CardPart):
    """`count` columns of an output's last axis from `first` on; all that follow if `count` is 0."""

    output: OutputName
    first: ColumnNumber = 0
    count: ColumnNumber = 0

    def read(self, signature: Signature) -> OutputColumns:
        """The columns by the output's place; raises ValueError."""
        return OutputColumns(signature.output_named(self.output), self.first, self.count)


class CardBoxes(CardPart):
    """Which outputs hold a detector's boxes, as in a spec's `BoxReading`, by their names."""

    boxes: CardColumns
    scores: CardColumns
    classes: CardColumns | None = None
    objectness: CardColumns | None = None
    form: Literal["x1y1x2y2", "y1x1y2x2", "cxcywh", "x1y1wh"] = "x1y1x2y2"
    scale_x: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    scale_y: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    boxes_last: bool = False
    first_class: ColumnNumber = 0
    overlap: Annotated[float, Field(ge=0, le=1)] = 1.0
    counts: OutputName | None = None

    def read(self, signature: Signature) -> BoxReading:
        """The reading by the outputs' places; raises ValueError."""
        return BoxReading(
            boxes=self.boxes.read(signature),
            scores=self.scores.read(signature),
            classes=self.classes.read(signature) if self.classes else None,
            objectness=self.objectness.read(signature) if self.objectness else None,
            form=self.form,
            scale_x=self.scale_x,
            scale_y=self.scale_y,
            boxes_last=self.boxes_last,
            first_class=self.first_class,
            overlap=self.overlap,
            counts=-1 if self.counts is None else signature.output_named(self.counts),
        )


class CardTokens(CardPart):
    """Which tokens of a sequence are none, and which output says how long sequences are."""

    blank: Token = -1
    end: Token = -1
    padding: Token = -1
    lengths: OutputName | None = None

    def read(self, signature: Signature) -> TokenReading:
        """The reading by the outputs' places; raises ValueError."""
        lengths = -1 if self.lengths is None else signature.output_named(self.lengths)
        return TokenReading(self.blank, self.end, self.padding, lengths)


class CardAnswers(CardPart):
    """How a model's outputs are meant; what is left out is found, or is as the task has it.

    `read_from` is the output that has the numbers, by its name. `thresholds` are what a score must reach to count,
    `scale` which difference of each number counts as wholly wrong.
    """

    read_from: OutputName | None = None
    thresholds: CardNumbers = ()
    scale: CardNumbers = ()
    boxes: CardBoxes | None = None
    tokens: CardTokens | None = None

    def declared(self, labels: tuple[str, ...], signature: Signature) -> Spec:
        """What the card says of the model's answers.

        Args:
            labels: the names of its classes.
            signature: what the model gives.

        Raises:
            CardError: it names outputs that the model does not have, or numbers that cannot be.
        """
        try:
            return Spec(
                read_from=0 if self.read_from is None else signature.output_named(self.read_from),
                names=labels,
                thresholds=self.thresholds,
                scale=self.scale,
                boxes=self.boxes.read(signature) if self.boxes else None,
                tokens=self.tokens.read(signature) if self.tokens else None,
            )
        except ValueError as error:
            raise CardError(f"model.toml, answers: {error}") from None
